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
        if self.connections[index].sides[side].shut {
            return Err(libc::EPIPE);
        }
        if self.connections[index].instant
            && self.connections[index].sides[1 - side].object.is_none()
        {
            return Err(libc::EPIPE);
        }
        let count = total(buffers).min(self.room(index, side));
        if count == 0 && total(buffers) > 0 {
            self.connections[index].sides[side].starved = true;
            return Err(libc::EAGAIN);
        }
        let mut left = count;
        let mut segment = Vec::with_capacity(left.min(SEGMENT));
        for buffer in buffers {
            let mut bytes: &[u8] = buffer;
            while left > 0 && !bytes.is_empty() {
                let (head, tail) =
                    bytes.split_at(bytes.len().min(left).min(SEGMENT - segment.len()));
                segment.extend_from_slice(head);
                bytes = tail;
                left -= head.len();
                if segment.len() == SEGMENT {
                    let full =
                        std::mem::replace(&mut segment, Vec::with_capacity(left.min(SEGMENT)));
                    self.push_segment(index, side, Segment::Data(full));
                }
            }
        }
        if !segment.is_empty() {
            self.push_segment(index, side, Segment::Data(segment));
        }
        Ok(count)
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
        let mut count = 0;
        let (mut head, mut tail) = receiver.received.as_slices();
        for buffer in buffers.iter_mut() {
            let mut place: &mut [u8] = buffer;
            while !place.is_empty() {
                if head.is_empty() {
                    (head, tail) = (tail, &[]);
                    if head.is_empty() {
                        break;
                    }
                }
                let size = place.len().min(head.len());
                place[..size].copy_from_slice(&head[..size]);
                (head, place) = (&head[size..], &mut place[size..]);
                count += size;
            }
        }
        if keep {
            return count;
        }
        if count == receiver.received.len() {
            receiver.received.clear();
        } else {
            receiver.received.drain(..count);
        }
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
