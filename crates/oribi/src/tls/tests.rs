//! Two halves at once over TLS on loopback, and peers that are not TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A connected pair of sockets.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A client's and a server's end of TLS, and the fingerprint that the client saw.
fn pair(identity: &Identity) -> (Transport, Transport, Fingerprint) {
    let (near, far) = sockets();
    let config = server_config(identity).unwrap();
    let server = thread::spawn(move || accept(far, &config, soon()).unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    let (client, fingerprint) = connect(near, name, &client_config().unwrap(), soon()).unwrap();
    (client, server.join().unwrap(), fingerprint)
}

fn identity() -> (tempfile::TempDir, Identity) {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(directory.path()).unwrap();
    (directory, identity)
}

/// Bytes that differ by place.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

#[test]
fn both_directions_at_once_then_a_farewell() {
    let (_directory, identity) = identity();
    let (mut client, server, fingerprint) = pair(&identity);
    assert_eq!(fingerprint, identity.fingerprint());
    const BYTES: usize = 20_000_000;
    let exchange = |transport: Transport| {
        let Transport { mut source, mut sink, .. } = transport;
        thread::scope(|scope| {
            scope.spawn(move || {
                // Writes of all lengths; the end of the scope drops the half and says farewell.
                let bytes = pattern(BYTES);
                let mut rest = &bytes[..];
                let mut length = 1;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(length.min(rest.len()));
                    sink.write_all(now).unwrap();
                    rest = later;
                    length = (length * 3) % 300_007;
                }
            });
            let mut got = Vec::new();
            source.read_to_end(&mut got).unwrap();
            assert!(got == pattern(BYTES));
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| exchange(server));
        client.source.set_deadline(Some(soon()));
        exchange(client);
    });
}

#[test]
fn the_post_quantum_exchange_is_the_one_that_is_used() {
    let (_directory, identity) = identity();
    let client = client_config().unwrap();
    assert_eq!(client.crypto_provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    // A server that knows no other takes this client.
    let mut only = (*provider()).clone();
    only.kx_groups.truncate(1);
    let config = ServerConfig::builder_with_provider(Arc::new(only))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.certificates.clone(), identity.key.clone_key())
        .unwrap();
    let (near, far) = sockets();
    let server = thread::spawn(move || accept(far, &Arc::new(config), soon()).map(drop));
    let name = ServerName::try_from("localhost").unwrap();
    let client = connect(near, name, &client, soon()).unwrap();
    server.join().unwrap().unwrap();
    drop(client);
}

#[test]
fn a_cut_connection_is_not_an_end() {
    let (near, far) = sockets();
    let cutter = near.try_clone().unwrap();
    let (_directory, identity) = identity();
    let config = server_config(&identity).unwrap();
    let server = thread::spawn(move || accept(far, &config, soon()).unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    let (client, _) = connect(near, name, &client_config().unwrap(), soon()).unwrap();
    let mut server = server.join().unwrap();
    cutter.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(server.source.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    drop(client);
}

#[test]
fn peers_that_do_not_speak_tls_are_refused() {
    let (_directory, identity) = identity();
    let config = server_config(&identity).unwrap();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[22, 3, 1, 0xff, 0xff], &[]] {
        let (mut near, far) = sockets();
        near.write_all(bytes).unwrap();
        near.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(accept(far, &config, soon()).is_err());
    }
    let (near, _far) = sockets();
    let name = ServerName::try_from("localhost").unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = connect(near, name, &client_config().unwrap(), deadline).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_changed_byte_is_noticed() {
    let (_directory, identity) = identity();
    let (near, middle_near) = sockets();
    let (middle_far, far) = sockets();
    let config = server_config(&identity).unwrap();
    let server = thread::spawn(move || {
        let mut transport = accept(far, &config, soon())?;
        let mut byte = [0; 1];
        loop {
            transport.source.read_exact(&mut byte)?;
        }
    });
    let back = (middle_far.try_clone().unwrap(), middle_near.try_clone().unwrap());
    thread::spawn(move || io::copy(&mut &back.0, &mut &back.1));
    thread::spawn(move || {
        // The 5000th byte is well behind the handshake.
        let (mut from, mut to, mut passed) = (middle_near, middle_far, 0usize);
        let mut buffer = [0; 1000];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if (passed..passed + count).contains(&5000) {
                buffer[5000 - passed] ^= 1;
            }
            passed += count;
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    let name = ServerName::try_from("localhost").unwrap();
    let (mut client, _) = connect(near, name, &client_config().unwrap(), soon()).unwrap();
    client.sink.write_all(&[0; 20_000]).unwrap();
    let error: io::Result<()> = server.join().unwrap();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// Bytes a second through a transport, one way, in frames' size.
fn rate(mut from: Transport, mut to: Transport) -> f64 {
    const FRAME: usize = 256 << 10;
    const FRAMES: usize = 8192;
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            let frame = vec![7; FRAME];
            (0..FRAMES).for_each(|_| from.sink.write_all(&frame).unwrap());
        });
        let mut frame = vec![0; FRAME];
        (0..FRAMES).for_each(|_| to.source.read_exact(&mut frame).unwrap());
    });
    (FRAME * FRAMES) as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement"]
fn throughput() {
    let (_directory, identity) = identity();
    let (near, far) = sockets();
    let plain = rate(Transport::tcp(near).unwrap(), Transport::tcp(far).unwrap());
    let (client, server, _) = pair(&identity);
    let there = rate(client, server);
    let (client, server, _) = pair(&identity);
    let back = rate(server, client);
    println!("plain {:.2} GB/s, TLS {:.2} and {:.2} GB/s", plain / 1e9, there / 1e9, back / 1e9);
}
