//! What programs write to a connection and read from it, and how much may be on its way.

use crate::fd::{Kind, total};
use crate::kernel::{Errno, Event, Kernel};
use crate::packet::Meets;
use crate::socket::Stage;
use crate::tcp::{DATA_TIMEOUT, Segment};
use std::io::{IoSlice, IoSliceMut};

/// What a side may have sent that the other has not read.
const ROOM: usize = 256 << 10;
/// The longest segment.
const SEGMENT: usize = 64 << 10;
/// The memory of so many segments is kept.
const SPARE: usize = 16;

/// What arrived and was not read.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// How many of them were read.
    read: usize,
}

impl Inbox {
    /// How much it is.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.read
    }

    /// Whether all was read.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a segment; what is not needed any more of their memory comes back.
    #[inline]
    pub(crate) fn add(&mut self, segment: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            self.read = 0;
            return std::mem::replace(&mut self.bytes, segment);
        }
        if self.read > self.len() {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(&segment);
        segment
    }

    /// Copies as much as there is room for into some buffers.
    #[inline]
    fn copy(&self, buffers: &mut [IoSliceMut<'_>]) -> usize {
        let mut rest = &self.bytes[self.read..];
        for buffer in buffers {
            let size = buffer.len().min(rest.len());
            buffer[..size].copy_from_slice(&rest[..size]);
            rest = &rest[size..];
        }
        self.len() - rest.len()
    }
}

impl Kernel {
    /// How much a side may send now.
    pub(crate) fn room(&self, index: usize, side: usize) -> usize {
        let sides = &self.connections[index].sides;
        ROOM.saturating_sub(sides[side].flying + sides[1 - side].received.len())
    }

    /// A program writes to a side.
    pub(crate) fn send_stream(
        &mut self,
        index: usize,
        side: usize,
        buffers: &[IoSlice<'_>],
    ) -> Result<usize, Errno> {
        let connection = &self.connections[index];
        if connection.sides[side].shut
            || connection.instant && connection.sides[1 - side].object.is_none()
        {
            return Err(libc::EPIPE);
        }
        let wanted = total(buffers);
        let count = wanted.min(self.room(index, side));
        if count == 0 && wanted > 0 {
            self.connections[index].sides[side].starved = true;
            return Err(libc::EAGAIN);
        }
        let mut left = count;
        let mut segment = self.spare.pop().unwrap_or_default();
        for buffer in buffers {
            let mut bytes = &buffer[..buffer.len().min(left)];
            left -= bytes.len();
            while segment.len() + bytes.len() >= SEGMENT {
                let (head, tail) = bytes.split_at(SEGMENT - segment.len());
                segment.extend_from_slice(head);
                bytes = tail;
                let next = self.spare.pop().unwrap_or_default();
                let full = std::mem::replace(&mut segment, next);
                self.push_segment(index, side, Segment::Data(full));
            }
            segment.extend_from_slice(bytes);
        }
        if segment.is_empty() {
            self.keep_memory(segment);
        } else {
            self.push_segment(index, side, Segment::Data(segment));
        }
        Ok(count)
    }

    /// Keeps the memory of a segment for those to come.
    #[inline]
    pub(crate) fn keep_memory(&mut self, mut segment: Vec<u8>) {
        if self.spare.len() < SPARE {
            segment.clear();
            self.spare.push(segment);
        }
    }

    /// A program reads from a side; `keep` leaves the bytes there.
    pub(crate) fn receive_stream(
        &mut self,
        index: usize,
        side: usize,
        buffers: &mut [IoSliceMut<'_>],
        keep: bool,
    ) -> usize {
        let receiver = &mut self.connections[index].sides[side];
        let count = receiver.received.copy(buffers);
        if keep {
            return count;
        }
        receiver.received.read += count;
        let left = receiver.received.len();
        let sender = &mut self.connections[index].sides[1 - side];
        if sender.starved && (sender.flying + left) * 3 < ROOM * 2 {
            sender.starved = false;
            self.tell_window(index, 1 - side);
        }
        count
    }

    /// A side that found no room is told that there is some.
    fn tell_window(&mut self, index: usize, side: usize) {
        let generation = self.connections[index].generation;
        if self.connections[index].instant {
            self.window_opens(index, generation, side);
            return;
        }
        let [to, from] = self.ends(index, side);
        // One that is lost is asked for again (the zero-window probe).
        let after = match self.packet_leaves(from, to, 1, "there is room again") {
            Meets::Way { after, .. } => after,
            Meets::Loss => DATA_TIMEOUT,
        };
        let at = self.now + after;
        self.queue.push(at, Event::Window { connection: index, generation, side });
    }

    /// A side hears that it may send more.
    pub(crate) fn window_opens(&mut self, index: usize, generation: u32, side: usize) {
        let connection = &self.connections[index];
        if connection.generation == generation
            && let Some(object) = connection.sides[side].object
        {
            self.notify(object, libc::EPOLLOUT as u32);
        }
    }

    /// Whether nothing more will come or go at a side: it is reset, or both have sent all.
    pub(crate) fn is_over(&self, index: usize, side: usize) -> bool {
        let connection = &self.connections[index];
        let own = &connection.sides[side];
        own.ended && own.shut && own.flight.is_empty() && !connection.instant
    }

    /// The side of a socket's connection.
    pub(crate) fn side(&self, object: usize) -> Option<(usize, usize)> {
        match &self.objects[object].kind {
            Kind::Socket(socket) => match socket.stage {
                Stage::Connected { connection, side } => Some((connection, side)),
                _ => None,
            },
            _ => None,
        }
    }
}
