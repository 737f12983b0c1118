//! What trees of files keep and lose.

use super::*;
use seedfall_sim::{DiskFault, Draw, Draws, NodeId, Seed, Site};

fn file(tree: &mut Tree, path: &str, bytes: &[u8]) -> usize {
    let flags = libc::O_CREAT | libc::O_RDWR;
    let (inode, folder) = tree.open(path, flags, 0o644, 0).expect("a file can be made");
    assert!(!folder);
    tree.write(inode, 0, bytes, 0).expect("it is a file");
    inode
}

fn read(tree: &mut Tree, path: &str) -> Result<Vec<u8>, Errno> {
    let inode = tree.inode(path)?;
    let mut bytes = vec![0; 100_000];
    let size = tree.read(inode, 0, &mut bytes)?;
    bytes.truncate(size);
    Ok(bytes)
}

#[test]
fn a_crash_takes_what_was_not_synced_and_leaves_the_rest() {
    let (mut kept, mut gone, mut torn, mut mixed) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut draws = Draws::new(Seed(seed), 1, 0);
        let mut tree = Tree::new();
        let old = file(&mut tree, "/a", &[1; 8192]);
        tree.sync(old).expect("a disk");
        tree.write(old, 0, &[2; 8192], 0).expect("it is a file");
        file(&mut tree, "/b", b"new");
        tree.crash(&mut draws, NodeId::new(0), 1, false);
        let bytes = read(&mut tree, "/a").expect("it was synced");
        assert_eq!(bytes.len(), 8192);
        let pages = [bytes[0], bytes[4096]];
        let is_whole = |page: &[u8]| page.iter().all(|byte| *byte == page[0]);
        mixed += usize::from(!bytes.chunks(4096).all(is_whole));
        match pages {
            [2, 2] => kept += 1,
            [1, 1] => gone += 1,
            _ => torn += 1,
        }
        match read(&mut tree, "/b") {
            Ok(bytes) => assert!(bytes.len() <= 3),
            Err(error) => assert_eq!(error, libc::ENOENT),
        }
    }
    assert!(kept > 20 && gone > 20 && torn > 50, "{kept} {gone} {torn}");
    assert!((30..150).contains(&mixed), "pages are torn now and then: {mixed}");
}

#[test]
fn a_crash_leaves_alone_the_sectors_of_a_page_to_which_nothing_was_written() {
    let mut spoilt = 0;
    for seed in 0..200 {
        let mut draws = Draws::new(Seed(seed), 1, 0);
        let mut tree = Tree::new();
        let log = file(&mut tree, "/log", &[1; 1024]);
        tree.sync(log).expect("a disk");
        tree.write(log, 1024, &[2; 100], 0).expect("it is a file");
        tree.crash(&mut draws, NodeId::new(0), 1, false);
        let bytes = read(&mut tree, "/log").expect("it was synced");
        assert_eq!(bytes[..1024], [1; 1024], "seed {seed}: what was synced is there");
        assert!([1024, 1124].contains(&bytes.len()), "seed {seed}: {}", bytes.len());
        spoilt += usize::from(bytes.len() > 1024 && bytes[1024..] != [2; 100]);

        let sparse = file(&mut tree, "/sparse", &[1; 700]);
        tree.sync(sparse).expect("a disk");
        tree.resize(sparse, 6000, 0).expect("it is a file");
        tree.crash(&mut draws, NodeId::new(0), 2, false);
        let bytes = read(&mut tree, "/sparse").expect("it was synced");
        assert_eq!(bytes[..700], [1; 700], "seed {seed}");
        assert!(bytes[700..].iter().all(|byte| *byte == 0), "seed {seed}: what was never written");
    }
    assert!(spoilt > 5, "the one that was written is torn or garbage now and then: {spoilt}");
}

#[test]
fn a_power_loss_takes_all_that_was_not_synced() {
    let mut draws = Draws::new(Seed(1), 1, 0);
    let mut tree = Tree::new();
    let old = file(&mut tree, "/a", b"old");
    tree.sync(old).expect("a disk");
    tree.write(old, 0, b"newer", 0).expect("it is a file");
    tree.rename("/a", "/b", 0).expect("it is there");
    assert_eq!(tree.crash(&mut draws, NodeId::new(0), 1, true), 2);
    assert_eq!(read(&mut tree, "/a").as_deref(), Ok(b"old".as_slice()));
    assert_eq!(read(&mut tree, "/b"), Err(libc::ENOENT));
}

#[test]
fn names_links_and_folders_are_those_of_posix() {
    let mut tree = Tree::new();
    tree.make_folder("/d", 0o755, 0).expect("it is not there");
    assert_eq!(tree.make_folder("/d", 0o755, 0), Err(libc::EEXIST));
    assert_eq!(tree.make_folder("/e/f", 0o755, 0), Err(libc::ENOENT));
    file(&mut tree, "/d/x", b"x");
    tree.make_link("../d/x", "/d/l", 0).expect("it is not there");
    assert_eq!(read(&mut tree, "/d/./l").as_deref(), Ok(b"x".as_slice()));
    assert_eq!(tree.unlink("/d", true, 0), Err(libc::ENOTEMPTY));
    assert_eq!(tree.unlink("/d", false, 0), Err(libc::EISDIR));
    tree.link("/d/x", "/y", 0).expect("it is not there");
    assert_eq!(tree.status("/y", true).map(|status| status.links), Ok(2));
    tree.unlink("/d/x", false, 0).expect("it is there");
    assert_eq!(read(&mut tree, "/y").as_deref(), Ok(b"x".as_slice()));
    assert_eq!(read(&mut tree, "/d/l"), Err(libc::ENOENT));
    tree.make_link("/loop", "/loop", 0).expect("it is not there");
    assert_eq!(tree.status("/loop", true), Err(libc::ELOOP));
    assert_eq!(tree.status("/y/z", true), Err(libc::ENOTDIR));
}

#[test]
fn a_sync_that_failed_reports_clean_pages_and_a_crash_takes_them() {
    let mut draws = Draws::new(Seed(1), 1, 0);
    let mut tree = Tree::new();
    let inode = file(&mut tree, "/a", b"old");
    tree.sync(inode).expect("a disk");
    let draw = draws.at(Site::Disk(NodeId::new(0)), 1 << 62);
    let fails = DiskFault::SyncFails { after: 0 };
    tree.begin_fault(&fails, draw, false);
    tree.write(inode, 0, b"new", 0).expect("it is a file");
    assert_eq!(tree.sync(inode), Err(libc::EIO));
    assert_eq!(tree.sync(inode), Ok(0), "the second sync says that all is well");
    assert_eq!(read(&mut tree, "/a").as_deref(), Ok(b"new".as_slice()));
    tree.crash(&mut draws, NodeId::new(0), 1, false);
    assert_eq!(read(&mut tree, "/a").as_deref(), Ok(b"old".as_slice()));
    assert_eq!(tree.counters().of(&fails), 1);
    assert!(!tree.is_damaged(), "what was acknowledged is there");
}

#[test]
fn every_disk_fault_has_its_effect_and_ends() {
    for kind in 0..DiskFault::KINDS {
        let mut draws = Draws::new(Seed(5), 1, 0);
        let mut tree = Tree::new();
        let inode = file(&mut tree, "/a", &[1; 20_000]);
        tree.sync(inode).expect("a disk");
        let fault = DiskFault::of_kind(kind, Draw::NOMINAL).at_once();
        tree.begin_fault(&fault, draws.at(Site::Disk(NodeId::new(0)), kind as u64), false);
        let wrote = tree.write(inode, 0, &[2; 30_000], 0);
        let synced = tree.sync(inode);
        let mut got = [0; 30_000];
        let found = tree.read(inode, 0, &mut got);
        tree.crash(&mut draws, NodeId::new(0), 1, true);
        let again = tree.read(inode, 0, &mut got);
        assert!(tree.counters().of(&fault) > 0, "{fault}");
        let errors = [wrote.err(), synced.err(), found.err(), again.err()];
        let expected = match &fault {
            DiskFault::SyncFails { .. } => [None, Some(libc::EIO), None, None],
            DiskFault::WriteError { .. } => [Some(libc::EIO), None, None, None],
            DiskFault::ReadError { .. } => [None, None, Some(libc::EIO), None],
            _ => [None; 4],
        };
        assert_eq!(errors, expected, "{fault}");
        let intact = again == Ok(30_000) && got == [2; 30_000];
        let harmless =
            matches!(fault, DiskFault::ReadError { .. } | DiskFault::MisdirectedRead { .. });
        assert_eq!(intact, harmless, "{fault}");
        tree.end_fault(&fault);
        let harm = tree.harm();
        tree.write(inode, 0, &[3; 30_000], 0).expect("a disk");
        tree.sync(inode).expect("a disk");
        tree.crash(&mut draws, NodeId::new(0), 2, true);
        assert_eq!(tree.read(inode, 0, &mut got), Ok(30_000), "{fault}");
        assert_eq!((got == [3; 30_000], tree.harm()), (true, harm), "{fault}");
    }
}

#[test]
fn a_safe_overwrite_leaves_each_byte_as_it_was_or_as_it_was_written() {
    for powersafe in [false, true] {
        let (mut spoilt, mut mixed) = (0, 0);
        for seed in 0..300 {
            let mut draws = Draws::new(Seed(seed), 1, 0);
            let mut tree = Tree::new();
            tree.promises.powersafe = powersafe;
            let log = file(&mut tree, "/log", &[1; 512]);
            tree.sync(log).expect("a disk");
            tree.write(log, 256, &[2; 256], 0).expect("it is a file");
            tree.crash(&mut draws, NodeId::new(0), 1, false);
            let bytes = read(&mut tree, "/log").expect("it was synced");
            let (before, after) = bytes.split_at(256);
            let is_safe = before == [1; 256] && after.iter().all(|byte| [1, 2].contains(byte));
            spoilt += usize::from(!is_safe);
            mixed += usize::from(is_safe && after != [1; 256] && after != [2; 256]);
        }
        assert_eq!(spoilt == 0, powersafe, "{spoilt}");
        assert!(mixed > 2, "{mixed}");
    }
}

#[test]
fn what_is_written_out_is_durable_where_it_overwrites_and_not_where_the_file_grew() {
    let mut tree = Tree::new();
    let log = file(&mut tree, "/log", &[1; 8192]);
    tree.sync(log).expect("a disk");
    tree.write(log, 0, &[2; 12_288], 0).expect("it is a file");
    assert_eq!(tree.write_out(log, 4096, usize::MAX), 1);
    tree.crash(&mut Draws::new(Seed(1), 1, 0), NodeId::new(0), 1, true);
    let bytes = read(&mut tree, "/log").expect("it was synced");
    assert_eq!((bytes.len(), bytes[0], bytes[4096]), (8192, 1, 2));
}

#[test]
fn a_journal_of_the_file_system_cuts_no_file_in_the_midst_of_a_page() {
    for journaled in [false, true] {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut draws = Draws::new(Seed(seed), 1, 0);
            let mut tree = Tree::new();
            tree.promises.journaled = journaled;
            let log = file(&mut tree, "/log", &[1; 100]);
            tree.sync(log).expect("a disk");
            tree.write(log, 100, &[2; 9_900], 0).expect("it is a file");
            tree.crash(&mut draws, NodeId::new(0), 1, false);
            lengths.insert(read(&mut tree, "/log").expect("it was synced").len());
        }
        if journaled {
            assert_eq!(lengths, [100, 4096, 8192, 10_000].into());
        } else {
            assert!(lengths.len() > 8, "{lengths:?}");
        }
    }
}

#[test]
fn a_disk_that_writes_sectors_whole_leaves_each_as_it_was_or_as_it_was_written() {
    let (mut old, mut new, mut mixed) = (0, 0, 0);
    for seed in 0..200 {
        let mut draws = Draws::new(Seed(seed), 1, 0);
        let mut tree = Tree::new();
        tree.promises.atomic = true;
        let log = file(&mut tree, "/log", &[1; 4096]);
        tree.sync(log).expect("a disk");
        tree.write(log, 0, &[2; 4096], 0).expect("it is a file");
        tree.crash(&mut draws, NodeId::new(0), 1, false);
        let bytes = read(&mut tree, "/log").expect("it was synced");
        for sector in bytes.chunks(512) {
            old += usize::from(*sector == [1; 512]);
            new += usize::from(*sector == [2; 512]);
        }
        mixed += usize::from(bytes.iter().any(|byte| *byte != bytes[0]));
    }
    assert_eq!(old + new, 200 * 8, "{old} {new}");
    assert!(old > 400 && new > 400 && mixed > 20, "{old} {new} {mixed}");
}
