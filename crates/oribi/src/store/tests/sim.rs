//! A disk that loses what was not synced, and dies at any chosen step.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::store::disk::{Blob, Disk, Guard};

/// Bytes that a disk writes at once or not at all.
const SECTOR: usize = 512;

/// A small generator for tests.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Give(String, usize),
    Move(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// As the running system sees it.
    now: Vec<u8>,
    /// As it was when last synced, and what came since.
    durable: Vec<u8>,
    since: Vec<Change>,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug, Default)]
struct World {
    files: Vec<Content>,
    names: Names,
    durable_names: Names,
    since: Vec<Naming>,
    claimed: HashSet<usize>,
    /// Steps that may still be taken, where the disk is to die.
    left: Option<u64>,
    dead: bool,
}

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Give(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Remove(name) => {
            names.remove(name);
        }
    }
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => {
            if bytes.len() < offset + new.len() {
                bytes.resize(offset + new.len(), 0);
            }
            bytes[*offset..offset + new.len()].copy_from_slice(new);
        }
        Change::Length(length) => bytes.resize(*length, 0),
    }
}

/// A write as the sectors that a disk may write apart.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<Change> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(((offset + at) / SECTOR + 1) * SECTOR - offset);
        parts.push(Change::Write(offset + at, bytes[at..end].to_vec()));
        at = end;
    }
    parts
}

/// A folder on such a disk.
#[derive(Clone, Debug, Default)]
pub struct Sim(Arc<Mutex<World>>);

#[derive(Debug)]
struct File {
    world: Arc<Mutex<World>>,
    file: usize,
    mine: Mutex<bool>,
}

struct Held;

impl Guard for Held {}

fn dead() -> io::Error {
    io::Error::other("the machine is off")
}

impl World {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => self.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    fn name(&mut self, naming: Naming) -> io::Result<()> {
        // What dies with the machine may have reached the disk all the same.
        let result = self.step();
        if result.is_ok() {
            apply(&mut self.names, &naming);
        }
        self.since.push(naming);
        result
    }

    fn change(&mut self, file: usize, what: Change) -> io::Result<()> {
        let result = self.step();
        let content = &mut self.files[file];
        if result.is_ok() {
            change(&mut content.now, &what);
        }
        content.since.push(what);
        result
    }
}

impl Sim {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The disk dies after so many more steps; `None` for never.
    pub fn die_after(&self, steps: Option<u64>) {
        self.world().left = steps;
    }

    /// An exact copy.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    /// The same disk after its process was killed: the system keeps what was written.
    pub fn after_kill(&self) -> Self {
        let mut world = self.world().clone();
        (world.dead, world.left) = (false, None);
        world.claimed.clear();
        Self(Arc::new(Mutex::new(world)))
    }

    /// The same disk after its machine lost power: of what was not synced, any part is there.
    pub fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let old = self.world();
        let mut names = old.durable_names.clone();
        for naming in &old.since {
            if dice.roll(2) == 0 {
                apply(&mut names, naming);
            }
        }
        let mut files = old.files.clone();
        for file in &mut files {
            let mut bytes = file.durable.clone();
            for since in &file.since {
                let parts = match since {
                    Change::Write(offset, new) => sectors(*offset, new),
                    Change::Length(length) => vec![Change::Length(*length)],
                };
                for part in parts {
                    if dice.roll(2) == 0 {
                        change(&mut bytes, &part);
                    }
                }
            }
            *file = Content { now: bytes.clone(), durable: bytes, since: Vec::new() };
        }
        let world = World { files, names: names.clone(), durable_names: names, ..World::default() };
        Self(Arc::new(Mutex::new(world)))
    }

    /// All bytes of all files that ever were, deleted ones included.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.world().files.iter().any(|file| file.now.windows(bytes.len()).any(|window| window == bytes))
    }

    /// A file's bytes, to be damaged.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let file = world.names[name];
        edit(&mut world.files[file].now);
        world.files[file].durable = world.files[file].now.clone();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.files[world.names[name]].now.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    fn file(&self, file: usize) -> Arc<dyn Blob> {
        Arc::new(File { world: self.0.clone(), file, mine: Mutex::new(false) })
    }
}

impl Disk for Sim {
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Blob>>> {
        let world = self.world();
        world.alive()?;
        let found = world.names.get(name).copied();
        drop(world);
        Ok(found.map(|file| self.file(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Blob>> {
        let mut world = self.world();
        assert!(!world.names.contains_key(name));
        let file = world.files.len();
        world.files.push(Content::default());
        world.name(Naming::Give(name.into(), file))?;
        drop(world);
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.world().name(Naming::Move(from.into(), to.into()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        if !world.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.name(Naming::Remove(name.into()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.world().alive()?;
        Ok(self.names())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        world.durable_names = world.names.clone();
        world.since.clear();
        Ok(())
    }

    fn lock(&self, _: &str, _: Duration) -> io::Result<Option<Box<dyn Guard>>> {
        self.world().alive()?;
        Ok(Some(Box::new(Held)))
    }

    fn path(&self) -> &Path {
        Path::new("a simulated disk")
    }
}

impl File {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if *self.mine.lock().unwrap() {
            self.world().claimed.remove(&self.file);
        }
    }
}

impl Blob for File {
    fn len(&self) -> io::Result<u64> {
        let world = self.world();
        world.alive()?;
        Ok(world.files[self.file].now.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let world = self.world();
        world.alive()?;
        let bytes = &world.files[self.file].now;
        let start = offset as usize;
        let found = bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.world().change(self.file, Change::Write(offset as usize, bytes.to_vec()))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.world().change(self.file, Change::Length(length as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        let file = &mut world.files[self.file];
        file.durable = file.now.clone();
        file.since.clear();
        Ok(())
    }

    fn claim(&self) -> io::Result<bool> {
        let mut mine = self.mine.lock().unwrap();
        *mine = *mine || self.world().claimed.insert(self.file);
        Ok(*mine)
    }

    fn is_exposed(&self) -> io::Result<bool> {
        Ok(false)
    }
}
