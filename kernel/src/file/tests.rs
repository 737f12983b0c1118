//! What trees of files keep and lose.

use super::*;
use seedfall_sim::Seed;

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
    let (mut kept, mut gone, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut draws = Draws::new(Seed(seed), 1, 0);
        let mut tree = Tree::new();
        let old = file(&mut tree, "/a", &[1; 8192]);
        tree.sync(old);
        tree.write(old, 0, &[2; 8192], 0).expect("it is a file");
        file(&mut tree, "/b", b"new");
        tree.crash(&mut draws, NodeId::new(0), 1, false);
        let bytes = read(&mut tree, "/a").expect("it was synced");
        assert_eq!(bytes.len(), 8192);
        let pages = [bytes[0], bytes[4096]];
        assert!(bytes[..4096].iter().all(|byte| *byte == pages[0]), "a page is whole");
        match pages {
            [2, 2] => kept += 1,
            [1, 1] => gone += 1,
            _ => torn += 1,
        }
        match read(&mut tree, "/b") {
            Ok(bytes) => assert!(bytes.is_empty() || bytes == b"new"),
            Err(error) => assert_eq!(error, libc::ENOENT),
        }
    }
    assert!(kept > 20 && gone > 20 && torn > 50, "{kept} {gone} {torn}");
}

#[test]
fn a_power_loss_takes_all_that_was_not_synced() {
    let mut draws = Draws::new(Seed(1), 1, 0);
    let mut tree = Tree::new();
    let old = file(&mut tree, "/a", b"old");
    tree.sync(old);
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
