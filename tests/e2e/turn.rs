//! Turns at heavy work: as much at a time as the host carries.

use std::cmp::Reverse;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// What a turn is for, the most urgent last: a run takes as long as its last test, so what takes longest begins first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Builds.
    Build,
    /// A machine, and what is built for it.
    Machine,
    /// A machine with many minutes of checks, or many machines one after the other.
    LongMachine,
    /// An image that other tests wait for.
    Image,
}

/// Memory that a turn may need, in bytes: a machine has 1 GiB and its QEMU some more, and a build no less.
const MEMORY: u64 = 3 << 29;

static TURNS: Turns = Turns::new();

/// Waits for a turn. Who has one must not ask for another, nor for an image that may have to be built first.
pub fn turn(work: Work) -> Turn<'static> {
    waiting(|| ours(work))
}

/// A turn of this run's.
fn ours(work: Work) -> Turn<'static> {
    static AT_ONCE: OnceLock<usize> = OnceLock::new();
    assert!(
        !rustix::process::geteuid().is_root(),
        "run the end-to-end tests as an ordinary user: rootless is the product"
    );
    TURNS.take(work, *AT_ONCE.get_or_init(at_once))
}

/// How many turns the host carries at a time. An emulated machine keeps about one processor busy, as a build does.
fn at_once() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let room = usize::try_from(available_memory() / MEMORY).unwrap_or(usize::MAX);
    room.clamp(1, processors)
}

/// `MemAvailable` of proc(5), in bytes.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("Linux has /proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.expect("/proc/meminfo says what is available") * 1024
}

/// Who has a turn and who waits for one.
struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    taken: usize,
    waiting: Vec<(Work, Reverse<u64>)>,
    tickets: u64,
}

/// A turn, until it is dropped.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                taken: 0,
                waiting: Vec::new(),
                tickets: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until fewer than `at_once` turns are taken and nobody waits who is more urgent, or came first.
    fn take(&self, work: Work, at_once: usize) -> Turn<'_> {
        let mut queue = self.queue();
        let me = (work, Reverse(queue.tickets));
        queue.tickets += 1;
        queue.waiting.push(me);
        while queue.taken >= at_once || queue.waiting.iter().max() != Some(&me) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.retain(|other| *other != me);
        queue.taken += 1;
        self.changed.notify_all();
        Turn(self)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.queue().taken -= 1;
        self.0.changed.notify_all();
    }
}

/// Makes what tests share when the first of them asks for it, in a turn if it is heavy. `name` is for the table of the slowest
/// tests.
pub fn once<T: Clone>(cell: &OnceLock<T>, work: Option<Work>, name: &str, make: impl FnOnce() -> T) -> T {
    let make = || {
        let _turn = work.map(ours);
        let begun = Instant::now();
        let shared = make();
        note(name, begun.elapsed().as_secs_f64());
        shared
    };
    waiting(|| cell.get_or_init(make).clone())
}

/// Takes the time that this takes off that of the test: the table of the slowest tests is about work.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = wait();
    // Its harness names a thread by its test.
    let thread = std::thread::current();
    note(thread.name().unwrap_or_default(), -begun.elapsed().as_secs_f64());
    result
}

/// A line for the table of the slowest tests, which `scripts/test` makes: seconds, binary and name; those of one name are summed
/// up.
fn note(name: &str, seconds: f64) {
    let Some(dir) = std::env::var_os("CLIC_TEST_TIMES").map(PathBuf::from) else {
        return;
    };
    let line = format!("{seconds:.3} e2e {name}\n");
    std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("turns"))
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the directory in CLIC_TEST_TIMES is writable");
}

#[test]
fn the_most_urgent_goes_first_and_no_more_than_are_carried() {
    let turns = Turns::new();
    let order = Mutex::new(Vec::new());
    let wanted = [Work::Build, Work::Image, Work::Machine, Work::Build];
    std::thread::scope(|scope| {
        let first = turns.take(Work::Build, 1);
        for (number, work) in wanted.into_iter().enumerate() {
            let (turns, order) = (&turns, &order);
            scope.spawn(move || {
                let _turn = turns.take(work, 1);
                assert_eq!(turns.queue().taken, 1);
                order.lock().unwrap().push((work, number));
            });
            // Each is in the queue before the next comes.
            while turns.queue().waiting.len() <= number {
                std::thread::yield_now();
            }
        }
        drop(first);
    });
    let order = order.into_inner().unwrap();
    let urgency = [
        (Work::Image, 1),
        (Work::Machine, 2),
        (Work::Build, 0),
        (Work::Build, 3),
    ];
    assert_eq!(order, urgency);
    assert_eq!(turns.queue().taken, 0);

    let two = [turns.take(Work::Build, 3), turns.take(Work::Machine, 3)];
    assert_eq!(turns.queue().taken, two.len());
}
