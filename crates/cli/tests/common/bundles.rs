//! A server with a store and a client with another, as processes that may be killed; and what must hold of them at any time.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oribi::store::{Options, Store};
use serde_json::Value;

use super::{Oribi, model};

/// A child process that ends with this value, by SIGKILL.
pub struct Process(pub Arc<Mutex<Child>>);

impl Process {
    pub fn new(child: Child) -> Self {
        Self(Arc::new(Mutex::new(child)))
    }

    pub fn kill(&self) {
        let mut child = self.0.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits for its end; gives its status and standard output and error, which were files.
    pub fn wait(&self) -> Option<i32> {
        loop {
            if let Some(status) = self.0.lock().unwrap().try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Both parties.
pub struct World {
    pub oribi: Oribi,
    server: Option<(Process, String)>,
    fingerprint: String,
    /// The outputs that the reference has for the pictures.
    expected: Vec<Value>,
    /// Bundles of each side and peer that were seen, and are gone.
    gone: BTreeMap<(String, String), HashSet<u64>>,
    seen: BTreeMap<(String, String), HashSet<u64>>,
    options: Vec<String>,
}

/// Pictures that are predicted.
const PICTURES: usize = 3;

pub fn picture(number: usize) -> String {
    model(&format!("digits/{}.png", number % PICTURES))
}

impl World {
    /// A running server, and nothing prepared. `options` are the server's.
    pub fn new(options: &[&str]) -> Self {
        let oribi = Oribi::new();
        let network = model("digits.onnx");
        let pictures: Vec<String> = (0..PICTURES).map(picture).collect();
        let mut arguments = vec!["run", network.as_str()];
        arguments.extend(pictures.iter().map(String::as_str));
        arguments.extend(["--fixed", "--protocol", "delphi", "--json"]);
        let expected = oribi.json(&arguments).into_iter().map(|line| line["output"].clone()).collect();
        let mut world = Self {
            oribi,
            server: None,
            fingerprint: String::new(),
            expected,
            gone: BTreeMap::new(),
            seen: BTreeMap::new(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        world.serve();
        world
    }

    pub fn folder(&self, side: &str) -> PathBuf {
        self.oribi.folder().join(side)
    }

    fn log(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.oribi.folder().join(name)).unwrap()
    }

    pub fn read_log(&self, name: &str) -> String {
        std::fs::read_to_string(self.oribi.folder().join(name)).unwrap_or_default()
    }

    /// Starts the server, unless it runs.
    pub fn serve(&mut self) {
        if self.server.is_some() {
            return;
        }
        let (state, store) = (self.folder("state"), self.folder("server"));
        let network = model("digits.onnx");
        let mut command = self.oribi.command(&["serve", &network, "--protocol", "delphi"]);
        command.args(["--listen", "127.0.0.1:0", "--state"]).arg(state).arg("--store").arg(store);
        command
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log("server.log"));
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let process = Process::new(child);
        let mut field = |name: &str| loop {
            let line = lines.next().unwrap_or_else(|| panic!("{}", self.read_log("server.log"))).unwrap();
            if let Some(value) = line.strip_prefix(name) {
                return value.trim().to_owned();
            }
        };
        let (address, fingerprint) = (field("address"), field("fingerprint"));
        // Its last words: a server that finds nobody to read them ends.
        field("Ctrl-C");
        self.fingerprint = fingerprint;
        self.server = Some((process, address));
    }

    pub fn address(&self) -> String {
        self.server.as_ref().unwrap().1.clone()
    }

    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn server_process(&self) -> Process {
        Process(Arc::clone(&self.server.as_ref().unwrap().0.0))
    }

    pub fn server_id(&self) -> u32 {
        self.server.as_ref().unwrap().0.0.lock().unwrap().id()
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        self.server = None;
    }

    pub fn client(&self, command: &str, address: &str, arguments: &[&str]) -> Command {
        let store = self.folder("client");
        let mut command = self.oribi.command(&[command, "--server", address]);
        command.args(["--fingerprint", &self.fingerprint, "--json", "--store"]).arg(store).args(arguments);
        command
    }

    pub fn prepare(&self, count: usize) -> Output {
        let output =
            self.client("prepare", &self.address(), &["--count", &count.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A client on its way.
    pub fn start(&self, command: &str, address: &str, arguments: &[&str]) -> Process {
        let mut command = self.client(command, address, arguments);
        command.stdin(Stdio::null()).stdout(self.log("client.out")).stderr(self.log("client.log"));
        Process::new(command.spawn().unwrap())
    }

    /// Predictions that must be right; each tells whether it had a bundle. Gives standard error too.
    pub fn predict(&self, numbers: &[usize]) -> (Vec<bool>, String) {
        let pictures: Vec<String> = numbers.iter().map(|&number| picture(number)).collect();
        let mut arguments = vec!["--protocol", "delphi"];
        arguments.extend(pictures.iter().map(String::as_str));
        let output = self.client("predict", &self.address(), &arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}\n{}", self.read_log("server.log"));
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), numbers.len());
        for (line, number) in lines.iter().zip(numbers) {
            assert_eq!(line["output"], self.expected[number % PICTURES], "a wrong prediction");
        }
        let stored = |line: &Value| line["offline"]["server_bytes"] == 0;
        (lines.iter().map(stored).collect(), errors)
    }

    /// The bundles of a side, by peer. The server must not run.
    pub fn held(&self, side: &str) -> BTreeMap<String, HashSet<u64>> {
        let mut held = BTreeMap::new();
        let Ok(store) = Store::existing(&self.folder(side), Options::client(0)) else { return held };
        for group in store.list().unwrap() {
            let numbers = store.held(&group.kind).unwrap();
            held.entry(group.kind.peer.to_string()).or_insert_with(HashSet::new).extend(numbers);
        }
        held
    }

    /// What was gone stays gone.
    fn check_side(&mut self, side: &str) {
        let mut held = self.held(side);
        let peers: HashSet<String> = held
            .keys()
            .cloned()
            .chain(self.seen.keys().filter(|(s, _)| s == side).map(|(_, p)| p.clone()))
            .collect();
        for peer in peers {
            let now = held.remove(&peer).unwrap_or_default();
            let key = (side.to_owned(), peer);
            let (seen, gone) = (self.seen.entry(key.clone()).or_default(), self.gone.entry(key).or_default());
            assert!(gone.is_disjoint(&now), "a bundle has come back: {gone:?} {now:?}");
            gone.extend(seen.difference(&now));
            seen.extend(now);
        }
    }

    /// Everything that must hold whatever was killed. Where `all`, the server is ended for a look into its store.
    pub fn check(&mut self, all: bool) {
        let log = self.read_log("server.log");
        assert!(!log.contains("panicked") && !log.contains("not in the server's store"), "{log}");
        let uses: Vec<&str> = log.lines().filter(|line| line.contains(" uses bundle ")).collect();
        assert_eq!(uses.iter().collect::<HashSet<_>>().len(), uses.len(), "a bundle was used twice: {log}");
        let errors = self.read_log("client.log");
        assert!(!errors.contains("panicked") && !errors.contains("discarded"), "{errors}");
        self.check_side("client");
        if all {
            // Alone at last: sessions whose client was killed have ended, and what they left is dropped.
            self.stop();
            self.serve();
            self.predict(&[0]);
            self.stop();
            self.check_side("server");
            let numbers = |side: &str| self.held(side).into_values().flatten().collect::<HashSet<_>>();
            assert_eq!(numbers("client"), numbers("server"));
            self.serve();
        }
    }

    /// After a kill: whoever is dead is there again, and the next prediction is right.
    pub fn settle(&mut self, number: usize) {
        self.serve();
        let (_, errors) = self.predict(&[number]);
        assert!(!errors.contains("discarded"), "a kill is no other past: {errors}");
        self.check(false);
    }
}

/// Carries one connection, and calls `at` before it passes on the given message, counted both ways; tells how many there were.
pub fn relay(
    target: String,
    message: usize,
    at: impl Fn() + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (count, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(at));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(target).unwrap();
        let carry = |mut from: TcpStream, mut to: TcpStream| {
            let (count, passed) = (Arc::clone(&counted), Arc::clone(&passed));
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    if count.fetch_add(1, Ordering::SeqCst) == message {
                        passed();
                    }
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            })
        };
        let there = carry(near.try_clone().unwrap(), far.try_clone().unwrap());
        let back = carry(far, near);
        let _ = (there.join(), back.join());
    });
    (address, count)
}

/// A copy of a folder.
pub fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
