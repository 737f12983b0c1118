//! Files, folders and paths.

use super::*;
use crate::calls::{self, call, is_simulated as sim, on_path};
use crate::fd::FIRST;
use crate::kernel::Kernel;

hooks! {
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int; own(path) =>
        open_at(AT_FDCWD, path, flags, mode);
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int; own(path) =>
        open_at(AT_FDCWD, path, flags, mode);
    fn creat(path: *const c_char, mode: mode_t) -> c_int; own(path) =>
        open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
    fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int; own(path) =>
        open_at(folder, path, flags, mode);
    fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
        own(path) => open_at(folder, path, flags, mode);
    fn pread(fd: c_int, to: *mut c_void, len: size_t, at: off_t) -> ssize_t; sim(fd) =>
        read_at(fd, &mut [room(to, len)], at);
    fn pread64(fd: c_int, to: *mut c_void, len: size_t, at: off_t) -> ssize_t; sim(fd) =>
        read_at(fd, &mut [room(to, len)], at);
    fn preadv(fd: c_int, to: *const iovec, count: c_int, at: off_t) -> ssize_t; sim(fd) =>
        read_at(fd, rooms(to, count as usize), at);
    fn preadv64(fd: c_int, to: *const iovec, count: c_int, at: off_t) -> ssize_t; sim(fd) =>
        read_at(fd, rooms(to, count as usize), at);
    fn pwrite(fd: c_int, from: *const c_void, len: size_t, at: off_t) -> ssize_t; sim(fd) =>
        write_at(fd, &[bytes(from, len)], at);
    fn pwrite64(fd: c_int, from: *const c_void, len: size_t, at: off_t) -> ssize_t; sim(fd) =>
        write_at(fd, &[bytes(from, len)], at);
    fn pwritev(fd: c_int, from: *const iovec, count: c_int, at: off_t) -> ssize_t; sim(fd) =>
        write_at(fd, many(from, count as usize), at);
    fn pwritev64(fd: c_int, from: *const iovec, count: c_int, at: off_t) -> ssize_t; sim(fd) =>
        write_at(fd, many(from, count as usize), at);
    fn lseek(fd: c_int, at: off_t, whence: c_int) -> off_t; sim(fd) =>
        call(|k| k.seek(fd, at, whence));
    fn lseek64(fd: c_int, at: off_t, whence: c_int) -> off_t; sim(fd) =>
        call(|k| k.seek(fd, at, whence));
    fn ftruncate(fd: c_int, len: off_t) -> c_int; sim(fd) => call(|k| k.resize(fd, len));
    fn ftruncate64(fd: c_int, len: off_t) -> c_int; sim(fd) => call(|k| k.resize(fd, len));
    fn truncate(path: *const c_char, len: off_t) -> c_int; own(path) => cut(path, len);
    fn truncate64(path: *const c_char, len: off_t) -> c_int; own(path) => cut(path, len);
    fn fallocate(fd: c_int, mode: c_int, at: off_t, len: off_t) -> c_int; sim(fd) =>
        call(|k| k.allocate(fd, mode, at, len));
    fn fallocate64(fd: c_int, mode: c_int, at: off_t, len: off_t) -> c_int; sim(fd) =>
        call(|k| k.allocate(fd, mode, at, len));
    fn fsync(fd: c_int) -> c_int; sim(fd) => calls::sync(fd);
    fn fdatasync(fd: c_int) -> c_int; sim(fd) => calls::sync(fd);
    fn sync_file_range(fd: c_int, at: off64_t, len: off64_t, flags: c_uint) -> c_int; sim(fd) =>
        call(|k| k.write_out(fd, at, len, flags));
    fn flock(fd: c_int, operation: c_int) -> c_int; sim(fd) => calls::lock(fd, operation);
    fn fchmod(fd: c_int, mode: mode_t) -> c_int; sim(fd) => Ok(0);
    fn fchown(fd: c_int, user: uid_t, group: gid_t) -> c_int; sim(fd) => Ok(0);
    fn futimens(fd: c_int, times: *const timespec) -> c_int; sim(fd) => Ok(0);
    fn posix_fadvise(fd: c_int, at: off_t, len: off_t, advice: c_int) -> c_int; sim(fd) => Ok(0);
    fn posix_fadvise64(fd: c_int, at: off_t, len: off_t, advice: c_int) -> c_int; sim(fd) => Ok(0);
    fn copy_file_range(from: c_int, from_at: *mut off64_t, to: c_int, to_at: *mut off64_t,
        len: size_t, flags: c_uint) -> ssize_t; sim(from) || sim(to) =>
        copied(from, from_at, to, to_at, len, flags);
    fn sendfile(to: c_int, from: c_int, at: *mut off_t, len: size_t) -> ssize_t;
        sim(from) || sim(to) => sent(to, from, at, len);
    fn sendfile64(to: c_int, from: c_int, at: *mut off_t, len: size_t) -> ssize_t;
        sim(from) || sim(to) => sent(to, from, at, len);
    // Callers copy by themselves where the kernel does not.
    fn splice(from: c_int, from_at: *mut loff_t, to: c_int, to_at: *mut loff_t, len: size_t,
        flags: c_uint) -> ssize_t; inside() && (from >= FIRST || to >= FIRST) =>
        Err::<(), _>(EINVAL);
}

/// Where a copy begins: at the offset that is there, or where the file stands.
unsafe fn place(at: *const off_t) -> Result<Option<u64>, Errno> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for the place of the offset.
    u64::try_from(unsafe { *at }).map(Some).map_err(|_| EINVAL)
}

/// Tells how far a copy went, where its offset stands.
unsafe fn advance(at: *mut off_t, count: usize) {
    if !at.is_null() {
        // SAFETY: the caller vouches for the place of the offset.
        unsafe { *at += count as off_t };
    }
}

unsafe fn copied(
    from: c_int,
    from_at: *mut off64_t,
    to: c_int,
    to_at: *mut off64_t,
    len: size_t,
    flags: c_uint,
) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for the places of the offsets.
    unsafe {
        let places = (place(from_at)?, place(to_at)?);
        let count = call(|k| k.copy(from, places.0, to, places.1, len, flags))?;
        advance(from_at, count);
        advance(to_at, count);
        Ok(count)
    }
}

unsafe fn sent(to: c_int, from: c_int, at: *mut off_t, len: size_t) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for the place of the offset.
    unsafe {
        let start = place(at)?;
        let bytes = call(|k| k.bytes_to_send(to, from, start, len))?;
        let count = if bytes.is_empty() { 0 } else { calls::write(to, &[IoSlice::new(&bytes)])? };
        match start {
            Some(_) => advance(at, count),
            None => drop(call(|k| k.seek(from, count as i64, SEEK_CUR))),
        }
        Ok(count)
    }
}

hooks! {
    fn fstat(fd: c_int, to: *mut stat) -> c_int; sim(fd) =>
        put_status(to, call(|k| k.status_of(fd)));
    fn fstat64(fd: c_int, to: *mut stat) -> c_int; sim(fd) =>
        put_status(to, call(|k| k.status_of(fd)));
    fn stat(path: *const c_char, to: *mut stat) -> c_int; own(path) =>
        put_status(to, calls::status(AT_FDCWD, &text(path), 0));
    fn stat64(path: *const c_char, to: *mut stat) -> c_int; own(path) =>
        put_status(to, calls::status(AT_FDCWD, &text(path), 0));
    fn lstat(path: *const c_char, to: *mut stat) -> c_int; own(path) =>
        put_status(to, calls::status(AT_FDCWD, &text(path), AT_SYMLINK_NOFOLLOW));
    fn lstat64(path: *const c_char, to: *mut stat) -> c_int; own(path) =>
        put_status(to, calls::status(AT_FDCWD, &text(path), AT_SYMLINK_NOFOLLOW));
    fn fstatat(folder: c_int, path: *const c_char, to: *mut stat, flags: c_int) -> c_int;
        sim(folder) || own(path) => put_status(to, calls::status(folder, &text(path), flags));
    fn fstatat64(folder: c_int, path: *const c_char, to: *mut stat, flags: c_int) -> c_int;
        sim(folder) || own(path) => put_status(to, calls::status(folder, &text(path), flags));
    fn statx(folder: c_int, path: *const c_char, flags: c_int, mask: c_uint, to: *mut statx)
        -> c_int; sim(folder) || folder == AT_FDCWD && own(path) =>
        put_statx(to, calls::status(folder, &text(path), flags));
    fn fstatfs(fd: c_int, to: *mut statfs) -> c_int; sim(fd) =>
        call(|k| k.object(fd)).map(|_| put(to, volume()));
    fn fstatfs64(fd: c_int, to: *mut statfs) -> c_int; sim(fd) =>
        call(|k| k.object(fd)).map(|_| put(to, volume()));
    fn statfs(path: *const c_char, to: *mut statfs) -> c_int; own(path) =>
        calls::status(AT_FDCWD, &text(path), 0).map(|_| put(to, volume()));
    fn statfs64(path: *const c_char, to: *mut statfs) -> c_int; own(path) =>
        calls::status(AT_FDCWD, &text(path), 0).map(|_| put(to, volume()));
    fn access(path: *const c_char, mode: c_int) -> c_int; own(path) =>
        calls::status(AT_FDCWD, &text(path), 0).map(drop);
    fn faccessat(folder: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int;
        own(path) => calls::status(folder, &text(path), 0).map(drop);
    fn chmod(path: *const c_char, mode: mode_t) -> c_int; own(path) =>
        on_path(&text(path), |k, path, _| {
            let tree = &mut k.tree();
            tree.inode(path).map(|inode| tree.set_mode(inode, mode))
        });
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int; own(path) =>
        on_path(&text(path), |k, path, now| k.make_folder(path, mode, now));
    fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int; own(path) =>
        at(folder, path, |k, path, now| k.make_folder(path, mode, now));
    fn rmdir(path: *const c_char) -> c_int; own(path) =>
        on_path(&text(path), |k, path, now| k.unlink(path, true, now));
    fn unlink(path: *const c_char) -> c_int; own(path) =>
        on_path(&text(path), |k, path, now| k.unlink(path, false, now));
    fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int; own(path) =>
        at(folder, path, |k, path, now| k.unlink(path, flags & AT_REMOVEDIR != 0, now));
    fn rename(from: *const c_char, to: *const c_char) -> c_int; own(from) =>
        pair(AT_FDCWD, from, AT_FDCWD, to, Kernel::rename);
    fn renameat(one: c_int, from: *const c_char, other: c_int, to: *const c_char) -> c_int;
        own(from) => pair(one, from, other, to, Kernel::rename);
    fn renameat2(one: c_int, from: *const c_char, other: c_int, to: *const c_char, flags: c_uint)
        -> c_int; own(from) => pair(one, from, other, to, |k, from, to, now| {
            k.rename_as(from, to, flags, now)
        });
    fn link(from: *const c_char, to: *const c_char) -> c_int; own(from) =>
        pair(AT_FDCWD, from, AT_FDCWD, to, Kernel::link);
    fn linkat(one: c_int, from: *const c_char, other: c_int, to: *const c_char, flags: c_int)
        -> c_int; own(from) => pair(one, from, other, to, Kernel::link);
    fn symlink(target: *const c_char, path: *const c_char) -> c_int; own(path) =>
        on_path(&text(path), |k, path, now| k.make_link(&text(target), path, now));
    fn readlink(path: *const c_char, to: *mut c_char, len: size_t) -> ssize_t; own(path) =>
        target(path, &mut room(to.cast(), len));
    fn umask(mask: mode_t) -> mode_t; inside() => Ok(call(|k| {
        let here = k.here();
        std::mem::replace(&mut k.nodes[here].umask, mask & 0o777)
    }));
    fn chdir(path: *const c_char) -> c_int; inside() => call(|k| k.change_folder(&text(path)));
}

/// The volume that has all files of a machine: an ext4 of a terabyte, half of it free, whatever is
/// in it. How much there is room for is the business of a fault.
fn volume() -> statfs {
    const BLOCKS: u64 = 1 << 28;
    // SAFETY: a volume of zeros is one.
    let mut volume: statfs = unsafe { std::mem::zeroed() };
    (volume.f_type, volume.f_bsize, volume.f_frsize) = (EXT4_SUPER_MAGIC, 4096, 4096);
    (volume.f_blocks, volume.f_bfree, volume.f_bavail) = (BLOCKS, BLOCKS / 2, BLOCKS / 2);
    (volume.f_files, volume.f_ffree, volume.f_namelen) = (1 << 26, 1 << 25, 255);
    volume
}

unsafe fn open_at(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> Result<i32, Errno> {
    // SAFETY: the caller vouches for the path.
    let path = unsafe { text(path) };
    let opened = call(|k| {
        let whole = k.path_at(folder, &path)?;
        k.open(&whole, flags, mode)
    });
    if opened == Err(ENOENT) && flags & O_CREAT != 0 {
        calls::hint_folder(&path);
    }
    opened
}

fn read_at(fd: c_int, buffers: &mut [IoSliceMut<'_>], at: off_t) -> Result<usize, Errno> {
    let at = u64::try_from(at).map_err(|_| EINVAL)?;
    call(|k| {
        let object = k.object(fd)?;
        k.read_at(object, buffers, at)
    })
}

fn write_at(fd: c_int, buffers: &[IoSlice<'_>], at: off_t) -> Result<usize, Errno> {
    let at = u64::try_from(at).map_err(|_| EINVAL)?;
    calls::wait_to_write(fd);
    call(|k| {
        let object = k.object(fd)?;
        k.write_at(object, buffers, at)
    })
}

unsafe fn cut(path: *const c_char, len: off_t) -> Result<(), Errno> {
    let len = usize::try_from(len).map_err(|_| EINVAL)?;
    // SAFETY: the caller vouches for the path.
    on_path(&unsafe { text(path) }, |k, path, now| k.cut(path, len, now))
}

unsafe fn target(path: *const c_char, to: &mut [u8]) -> Result<usize, Errno> {
    if to.is_empty() {
        return Err(EINVAL);
    }
    // SAFETY: the caller vouches for the path.
    let target = on_path(&unsafe { text(path) }, |k, path, _| k.tree().target(path))?;
    let size = target.len().min(to.len());
    to[..size].copy_from_slice(&target.as_bytes()[..size]);
    Ok(size)
}

unsafe fn at<T>(
    folder: c_int,
    path: *const c_char,
    work: impl FnOnce(&mut Kernel, &str, u64) -> Result<T, Errno>,
) -> Result<T, Errno> {
    // SAFETY: the caller vouches for the path.
    let path = unsafe { text(path) };
    let whole = call(|k| k.path_at(folder, &path))?;
    on_path(&whole, work)
}

unsafe fn pair<T>(
    one: c_int,
    from: *const c_char,
    other: c_int,
    to: *const c_char,
    work: impl FnOnce(&mut Kernel, &str, &str, u64) -> Result<T, Errno>,
) -> Result<T, Errno> {
    // SAFETY: the caller vouches for the paths.
    let (from, to) = unsafe { (text(from), text(to)) };
    call(|k| {
        let (from, to, now) = (k.path_at(one, &from)?, k.path_at(other, &to)?, k.wall());
        work(k, &from, &to, now)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getcwd(to: *mut c_char, len: size_t) -> *mut c_char {
    // SAFETY: the caller vouches for the buffer; libc's allocates one where there is none.
    unsafe {
        if !inside() {
            return real!(getcwd, unsafe extern "C" fn(*mut c_char, size_t) -> *mut c_char)(
                to, len,
            );
        }
        let folder = call(|k| k.nodes[k.here()].folder.clone());
        if !to.is_null() && len <= folder.len() {
            told(Err::<(), _>(ERANGE));
            return std::ptr::null_mut();
        }
        give_text(to, &folder)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realpath(path: *const c_char, to: *mut c_char) -> *mut c_char {
    // SAFETY: as above.
    unsafe {
        if !own(path) {
            return real!(
                realpath,
                unsafe extern "C" fn(*const c_char, *mut c_char) -> *mut c_char
            )(path, to);
        }
        match call(|k| k.real_path(&text(path))) {
            Ok(real) => give_text(to, &real),
            Err(error) => {
                told(Err::<(), _>(error));
                std::ptr::null_mut()
            }
        }
    }
}

/// Writes a text to a buffer, or to one that is allocated.
unsafe fn give_text(to: *mut c_char, given: &str) -> *mut c_char {
    // SAFETY: the caller has room, or gets a buffer of the right size.
    unsafe {
        let to = if to.is_null() { malloc(given.len() + 1).cast() } else { to };
        if !to.is_null() {
            std::ptr::copy_nonoverlapping(given.as_ptr(), to.cast(), given.len());
            to.add(given.len()).write(0);
        }
        to
    }
}

/// An open folder, as C sees it: `DIR`.
#[repr(C)]
struct Folder {
    mark: usize,
    fd: c_int,
    entry: dirent64,
}

/// What stands first in a [`Folder`]; libc's own begins with a descriptor and a lock.
const MARK: usize = 0x5EED_FA11_F01D_E200;

/// Whether a folder was opened here.
unsafe fn ours(folder: *mut DIR) -> bool {
    // SAFETY: the caller vouches for the pointer; both kinds are larger than a word.
    !folder.is_null() && unsafe { *folder.cast::<usize>() } == MARK
}

unsafe fn folder_of(fd: c_int) -> *mut DIR {
    // SAFETY: a folder of zeros is one.
    let entry = unsafe { std::mem::zeroed() };
    Box::into_raw(Box::new(Folder { mark: MARK, fd, entry })).cast()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn opendir(path: *const c_char) -> *mut DIR {
    // SAFETY: the caller vouches for the path.
    unsafe {
        if !own(path) {
            return real!(opendir, unsafe extern "C" fn(*const c_char) -> *mut DIR)(path);
        }
        match told(open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)) {
            -1 => std::ptr::null_mut(),
            fd => folder_of(fd as c_int),
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fdopendir(fd: c_int) -> *mut DIR {
    // SAFETY: a number.
    unsafe {
        if sim(fd) {
            return folder_of(fd);
        }
        real!(fdopendir, unsafe extern "C" fn(c_int) -> *mut DIR)(fd)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn readdir64(folder: *mut DIR) -> *mut dirent64 {
    // SAFETY: the caller vouches for the folder.
    unsafe {
        if !ours(folder) {
            return real!(readdir64, unsafe extern "C" fn(*mut DIR) -> *mut dirent64)(folder);
        }
        let folder = &mut *folder.cast::<Folder>();
        let next = call(|k| k.next_name(folder.fd));
        let Ok(Some((name, status))) = next else {
            if let Err(error) = next {
                told(Err::<(), _>(error));
            }
            return std::ptr::null_mut();
        };
        let entry = &mut folder.entry;
        entry.d_ino = status.inode;
        entry.d_reclen = size_of::<dirent64>() as c_ushort;
        entry.d_type = ((status.mode & S_IFMT) >> 12) as c_uchar;
        let size = name.len().min(entry.d_name.len() - 1);
        std::ptr::copy_nonoverlapping(name.as_ptr(), entry.d_name.as_mut_ptr().cast(), size);
        entry.d_name[size] = 0;
        entry
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn readdir(folder: *mut DIR) -> *mut dirent {
    // SAFETY: on x86-64 both kinds of entries are the same.
    unsafe { readdir64(folder).cast() }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dirfd(folder: *mut DIR) -> c_int {
    // SAFETY: the caller vouches for the folder.
    unsafe {
        if ours(folder) {
            return (*folder.cast::<Folder>()).fd;
        }
        real!(dirfd, unsafe extern "C" fn(*mut DIR) -> c_int)(folder)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn closedir(folder: *mut DIR) -> c_int {
    // SAFETY: the caller vouches for the folder, and does not use it again.
    unsafe {
        if ours(folder) {
            let folder = Box::from_raw(folder.cast::<Folder>());
            return descriptors::close(folder.fd);
        }
        real!(closedir, unsafe extern "C" fn(*mut DIR) -> c_int)(folder)
    }
}
