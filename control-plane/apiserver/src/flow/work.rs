//! How many seats a request needs, from what is known before it runs.

/// Objects that a list reads per seat, and seats at most; upstream's numbers.
const OBJECTS_PER_SEAT: usize = 100;
const LIST_SEATS_MAX: u32 = 10;
/// Watchers that a write has to tell per seat. Upstream counts ten; here all watchers share the bytes of an event.
const WATCHERS_PER_SEAT: usize = 100;
const WRITE_SEATS_MAX: u32 = 10;

/// What a request will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Reads one thing, or asks something small.
    Small,
    /// Reads so many objects: a list, or a watch that begins with what is there.
    List {
        /// Objects there are.
        objects: usize,
        /// The client's limit; 0: none.
        limit: usize,
        /// Whether a selector leaves objects out, which have to be read nevertheless.
        selective: bool,
    },
    /// Changes something that so many follow.
    Write {
        /// Who follow the resource.
        watchers: usize,
    },
}

/// The seats.
pub fn seats(work: Work) -> u32 {
    let of = |things: usize, per_seat: usize, most: u32| {
        u32::try_from(things.div_ceil(per_seat)).unwrap_or(most).clamp(1, most)
    };
    match work {
        Work::Small => 1,
        Work::List { objects, limit, selective } => {
            let read = if limit > 0 && !selective { objects.min(limit) } else { objects };
            of(read, OBJECTS_PER_SEAT, LIST_SEATS_MAX)
        }
        Work::Write { watchers } => of(watchers, WATCHERS_PER_SEAT, WRITE_SEATS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_grow_with_the_work_up_to_a_limit() {
        let list = |objects, limit, selective| Work::List { objects, limit, selective };
        let table = [
            (Work::Small, 1),
            (list(0, 0, false), 1),
            (list(100, 0, false), 1),
            (list(101, 0, false), 2),
            (list(50_000, 0, false), 10),
            (list(50_000, 500, false), 5),
            (list(50_000, 500, true), 10),
            (Work::Write { watchers: 0 }, 1),
            (Work::Write { watchers: 250 }, 3),
            (Work::Write { watchers: 100_000 }, 10),
        ];
        for (work, wanted) in table {
            assert_eq!(seats(work), wanted, "{work:?}");
        }
    }
}
