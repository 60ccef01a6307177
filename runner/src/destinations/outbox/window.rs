//! The calls that have been read and wait for their turn: few enough to be kept in memory, in the log's order.

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::Timestamp;

use super::super::{Letter, Room};

/// So many bytes are read ahead, and so many calls.
const BYTES: usize = 4 << 20;
const CALLS: usize = 20_000;
/// So many calls are looked at to find some whose persons are free.
const LOOK: usize = 2_000;
/// What a letter takes beside its call, about, in bytes.
const BESIDE: usize = 256;

/// The calls that wait.
#[derive(Debug, Default)]
pub struct Window {
    letters: VecDeque<Letter>,
    bytes: usize,
}

impl Window {
    /// Whether no more should be read.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES || self.letters.len() >= CALLS
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Adds one, in its place: most are the newest, one that was sent in vain goes back to where it was.
    pub fn put(&mut self, letter: Letter) {
        self.bytes += letter.call.len() + BESIDE;
        let at = match self.letters.back() {
            Some(last) if last.seq > letter.seq => {
                self.letters.partition_point(|other| other.seq < letter.seq)
            }
            _ => self.letters.len(),
        };
        self.letters.insert(at, letter);
    }

    /// The next request's: the oldest whose persons have nothing under way.
    pub fn take(&mut self, room: Room, busy: &HashMap<u64, usize>) -> Vec<Letter> {
        let mut taken: Vec<Letter> = Vec::new();
        let (mut bytes, mut passed) = (0, VecDeque::new());
        let mut held = HashSet::new();
        while taken.len() < room.calls && passed.len() < LOOK {
            let Some(letter) = self.letters.pop_front() else { break };
            let person = letter.person;
            if person != 0 && (busy.contains_key(&person) || held.contains(&person)) {
                held.insert(person);
                passed.push_back(letter);
                continue;
            }
            bytes += letter.call.len() + 1;
            if bytes > room.bytes && !taken.is_empty() {
                self.letters.push_front(letter);
                break;
            }
            self.bytes = self.bytes.saturating_sub(letter.call.len() + BESIDE);
            taken.push(letter);
        }
        while let Some(letter) = passed.pop_back() {
            self.letters.push_front(letter);
        }
        taken
    }

    /// Takes those from the front that reached Headwater before `time`, or stand in the log before `seq`.
    pub fn expire(&mut self, time: Timestamp, seq: u64) -> Vec<Letter> {
        let is_old = |letter: &&Letter| letter.received_at < time || letter.seq < seq;
        let mut old = Vec::new();
        while self.letters.front().filter(is_old).is_some() {
            if let Some(letter) = self.letters.pop_front() {
                self.bytes = self.bytes.saturating_sub(letter.call.len() + BESIDE);
                old.push(letter);
            }
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: u64, person: u64) -> Letter {
        Letter {
            id: 0,
            seq,
            source: String::new(),
            message_id: String::new(),
            delivery: String::new(),
            person,
            attempts: 0,
            first: None,
            received_at: Timestamp::from_second(seq as i64).unwrap(),
            call: "0123456789".into(),
        }
    }

    fn seqs(letters: &[Letter]) -> Vec<u64> {
        letters.iter().map(|letter| letter.seq).collect()
    }

    #[test]
    fn nobody_overtakes_themselves() {
        let mut window = Window::default();
        for (seq, person) in [(1, 7), (2, 8), (3, 7), (4, 8), (5, 0), (6, 9)] {
            window.put(letter(seq, person));
        }
        let room = Room { calls: 2, bytes: 1_000 };
        let busy = HashMap::from([(7, 1)]);
        assert_eq!(seqs(&window.take(room, &busy)), [2, 4], "one after the other in one request");
        assert_eq!(seqs(&window.take(room, &busy)), [5, 6]);
        assert!(window.take(room, &busy).is_empty());
        window.put(letter(2, 8));
        assert_eq!(seqs(&window.take(Room { calls: 9, bytes: 1_000 }, &HashMap::new())), [1, 2, 3]);
        assert!(window.is_empty() && window.bytes == 0);
    }

    #[test]
    fn a_request_holds_so_many_bytes_and_at_least_one_call() {
        let mut window = Window::default();
        (1..=5).for_each(|seq| window.put(letter(seq, 0)));
        let take = |window: &mut Window, bytes| seqs(&window.take(Room { calls: 9, bytes }, &HashMap::new()));
        assert_eq!((take(&mut window, 22), take(&mut window, 1)), (vec![1, 2], vec![3]));
        assert_eq!(seqs(&window.expire(Timestamp::from_second(5).unwrap(), 0)), [4]);
        assert_eq!(seqs(&window.expire(Timestamp::UNIX_EPOCH, 6)), [5]);
    }
}
