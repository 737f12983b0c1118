//! Descriptors, and the open file descriptions that they name.

use crate::epoll::{Epoll, Watch};
use crate::event::{Counter, Timer};
use crate::file::{OpenFile, OpenFolder};
use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::machine;
use crate::socket::Socket;
use std::io::{IoSlice, IoSliceMut};

/// The first simulated descriptor. Everything below is real, so that one comparison tells them
/// apart.
pub(crate) const FIRST: i32 = 1 << 20;

/// The device that takes what the crate `antithesis_sdk` reports of its assertions: lines of JSON.
pub(crate) const RECORDS_PATH: &str = "/dev/antithesis";
/// Its only descriptor. The crate keeps it in a static, so it serves every node, in all its lives.
pub(crate) const RECORDS: i32 = i32::MAX;

/// What a descriptor's number stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    /// The open file description.
    pub(crate) object: usize,
    /// Whose it is: closed when that node's program ends.
    pub(crate) owner: NodeIndex,
}

/// An open file description, which several descriptors may share.
#[derive(Debug)]
pub(crate) struct Object {
    /// How many descriptors name it.
    pub(crate) refs: u32,
    /// Counts what this place was used for: events of an earlier use are void.
    pub(crate) generation: u32,
    /// The node that made it.
    pub(crate) node: NodeIndex,
    /// `O_NONBLOCK`.
    pub(crate) nonblocking: bool,
    /// Threads that wait for a change of it, with their tickets.
    pub(crate) waiters: Vec<(usize, u64)>,
    /// Who watches it.
    pub(crate) watchers: Vec<Watch>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What an open file description is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Nothing: the place is free.
    Free,
    /// An epoll instance.
    Epoll(Epoll),
    /// An eventfd.
    Counter(Counter),
    /// A timerfd.
    Timer(Timer),
    /// A socket, or one end of a pipe.
    Socket(Box<Socket>),
    /// A file.
    File(OpenFile),
    /// A folder.
    Folder(OpenFolder),
    /// A device.
    Device(Device),
}

/// Devices that programs open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/random`, `/dev/urandom`.
    Random,
}

impl Kernel {
    /// Makes an open file description of the running program.
    pub(crate) fn make_object(&mut self, node: NodeIndex, kind: Kind, nonblocking: bool) -> usize {
        let object = Object {
            refs: 0,
            generation: 0,
            node,
            nonblocking,
            waiters: Vec::new(),
            watchers: Vec::new(),
            kind,
        };
        match self.free_objects.pop() {
            Some(index) => {
                let generation = self.objects[index].generation + 1;
                self.objects[index] = Object { generation, ..object };
                index
            }
            None => {
                self.objects.push(object);
                self.objects.len() - 1
            }
        }
    }

    /// The lowest free descriptor now names an object.
    pub(crate) fn make_descriptor(&mut self, object: usize) -> i32 {
        let owner = self.here();
        self.objects[object].refs += 1;
        let descriptor = Some(Descriptor { object, owner });
        let index = match self.free_descriptors.pop_first() {
            Some(index) => {
                self.descriptors[index] = descriptor;
                index
            }
            None => {
                self.descriptors.push(descriptor);
                self.descriptors.len() - 1
            }
        };
        FIRST + index as i32
    }

    /// A new object with a descriptor of its own.
    pub(crate) fn open_object(&mut self, kind: Kind, nonblocking: bool) -> i32 {
        let object = self.make_object(self.here(), kind, nonblocking);
        self.make_descriptor(object)
    }

    /// The object that a descriptor names.
    #[inline]
    pub(crate) fn object(&self, fd: i32) -> Result<usize, Errno> {
        let index = usize::try_from(fd - FIRST).map_err(|_| libc::EBADF)?;
        self.descriptors
            .get(index)
            .copied()
            .flatten()
            .map(|descriptor| descriptor.object)
            .ok_or(libc::EBADF)
    }

    /// Whether calls on a descriptor wait for what they need.
    pub(crate) fn is_blocking(&self, fd: i32) -> bool {
        self.object(fd).is_ok_and(|object| !self.objects[object].nonblocking)
    }

    /// Gives a descriptor back.
    pub(crate) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let index = (fd - FIRST) as usize;
        self.descriptors[index] = None;
        self.free_descriptors.insert(index);
        self.release(object);
        Ok(())
    }

    /// One descriptor fewer names an object; the last one ends it.
    fn release(&mut self, object: usize) {
        self.objects[object].refs -= 1;
        if self.objects[object].refs == 0 {
            self.destroy(object);
        }
    }

    /// Ends an object.
    pub(crate) fn destroy(&mut self, object: usize) {
        let watchers = std::mem::take(&mut self.objects[object].watchers);
        for watch in watchers {
            if let Kind::Epoll(epoll) = &mut self.objects[watch.epoll].kind {
                epoll.forget_slot(watch.slot);
            }
        }
        let kind = std::mem::replace(&mut self.objects[object].kind, Kind::Free);
        match kind {
            Kind::Socket(socket) => self.close_socket(object, *socket),
            Kind::Epoll(epoll) => {
                for watched in epoll.watched() {
                    self.objects[watched].watchers.retain(|watch| watch.epoll != object);
                }
            }
            Kind::File(file) => self.close_file(object, &file),
            _ => {}
        }
        // Whoever waits for it in another thread hears that it is gone.
        let waiters = std::mem::take(&mut self.objects[object].waiters);
        for (thread, ticket) in waiters {
            self.wake(thread, ticket);
        }
        self.objects[object].generation += 1;
        self.free_objects.push(object);
    }

    /// The program of a node is gone: its descriptors are closed. Both ends of a socket pair stay,
    /// unless nodes have statics of their own: one of the process may hold it for all nodes, as
    /// that of tokio's signals does.
    pub(crate) fn close_all(&mut self, node: NodeIndex) {
        for index in 0..self.descriptors.len() {
            let Some(descriptor) = self.descriptors[index] else { continue };
            let is_shared = || self.is_pair(descriptor.object) && !machine::has_divided_statics();
            if descriptor.owner != node || is_shared() {
                continue;
            }
            self.descriptors[index] = None;
            self.free_descriptors.insert(index);
            self.release(descriptor.object);
        }
    }

    /// A further descriptor for the same object, at or above `least`.
    pub(crate) fn dup(&mut self, fd: i32) -> Result<i32, Errno> {
        let object = self.object(fd)?;
        Ok(self.make_descriptor(object))
    }

    /// `dup2`: makes `to` name what `fd` names.
    pub(crate) fn dup_to(&mut self, fd: i32, to: i32) -> Result<i32, Errno> {
        let object = self.object(fd)?;
        if fd == to {
            return Ok(to);
        }
        let index = usize::try_from(to - FIRST).map_err(|_| libc::EBADF)?;
        if self.object(to).is_ok() {
            self.close(to)?;
        }
        while self.descriptors.len() <= index {
            self.free_descriptors.insert(self.descriptors.len());
            self.descriptors.push(None);
        }
        self.free_descriptors.remove(&index);
        self.objects[object].refs += 1;
        self.descriptors[index] = Some(Descriptor { object, owner: self.here() });
        Ok(to)
    }

    /// What a descriptor is ready for, as epoll tells it.
    pub(crate) fn readiness(&self, object: usize) -> u32 {
        let (input, output) = (libc::EPOLLIN as u32, libc::EPOLLOUT as u32);
        match &self.objects[object].kind {
            Kind::Counter(counter) => counter.readiness(),
            Kind::Timer(timer) => timer.readiness(),
            Kind::Socket(socket) => self.socket_readiness(socket),
            Kind::Epoll(epoll) => {
                if epoll.is_ready() {
                    input
                } else {
                    0
                }
            }
            Kind::File(_) | Kind::Folder(_) | Kind::Device(_) => input | output,
            Kind::Free => 0,
        }
    }

    /// Reads into some buffers; `EAGAIN` if there is nothing yet.
    pub(crate) fn read(&mut self, fd: i32, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        let object = self.object(fd)?;
        match &mut self.objects[object].kind {
            // To receive nothing is to ask whether there is something; to read nothing is not.
            Kind::Socket(_) if total_room(buffers) == 0 => Ok(0),
            Kind::Socket(_) => self.receive(object, buffers, 0),
            Kind::Counter(counter) => read_number(buffers, counter.take()?),
            Kind::Timer(timer) => read_number(buffers, timer.take()?),
            Kind::File(_) => self.read_file(object, buffers),
            // As Linux has it, `readv` of nothing is done before it is refused.
            Kind::Folder(_) if buffers.len() > 1 && total_room(buffers) == 0 => Ok(0),
            Kind::Folder(_) => Err(libc::EISDIR),
            Kind::Device(device) => {
                let device = *device;
                Ok(self.read_device(device, buffers))
            }
            Kind::Epoll(_) | Kind::Free => Err(libc::EINVAL),
        }
    }

    /// Writes some buffers; `EAGAIN` if there is no room yet.
    pub(crate) fn write(&mut self, fd: i32, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let object = self.object(fd)?;
        match &mut self.objects[object].kind {
            Kind::Socket(_) => self.send(object, buffers, None),
            Kind::Counter(counter) => {
                let bytes = buffers.first().and_then(|buffer| buffer.first_chunk::<8>());
                let number = u64::from_ne_bytes(*bytes.ok_or(libc::EINVAL)?);
                counter.add(number)?;
                self.notify(object, libc::EPOLLIN as u32);
                Ok(8)
            }
            Kind::File(_) => self.write_file(object, buffers),
            Kind::Device(_) => Ok(total(buffers)),
            Kind::Folder(_) => Err(libc::EBADF),
            Kind::Timer(_) | Kind::Epoll(_) | Kind::Free => Err(libc::EINVAL),
        }
    }

    fn read_device(&mut self, device: Device, buffers: &mut [IoSliceMut<'_>]) -> usize {
        let mut count = 0;
        for buffer in buffers.iter_mut() {
            match device {
                Device::Null => return 0,
                Device::Zero => buffer.fill(0),
                Device::Random => self.entropy(buffer, true),
            }
            count += buffer.len();
        }
        count
    }
}

/// How much there is room for.
fn total_room(buffers: &[IoSliceMut<'_>]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}

/// How many bytes there are in all.
pub(crate) fn total(buffers: &[IoSlice<'_>]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}

fn read_number(buffers: &mut [IoSliceMut<'_>], number: u64) -> Result<usize, Errno> {
    let place = buffers.first_mut().and_then(|buffer| buffer.first_chunk_mut::<8>());
    *place.ok_or(libc::EINVAL)? = number.to_ne_bytes();
    Ok(8)
}
