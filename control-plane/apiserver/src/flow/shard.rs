//! Shuffle sharding: a flow is dealt a hand of queues, so that two flows rarely share all of theirs.

/// Cards of a hand at most.
pub const HAND_MAX: usize = 32;

/// Deals `hand_size` different queues of `deck_size` by a hash; the same hash gets the same hand. Writes them to `hand` and gives how many.
pub fn deal(hash: u64, deck_size: usize, hand_size: usize, hand: &mut [usize; HAND_MAX]) -> usize {
    let size = hand_size.min(deck_size).min(HAND_MAX);
    let mut rest = hash;
    for at in 0..size {
        let left = (deck_size - at) as u64;
        let mut card = usize::try_from(rest % left).unwrap_or(0);
        rest /= left;
        // The n-th card of those not dealt yet: step over the dealt ones in ascending order.
        let mut dealt: [usize; HAND_MAX] = *hand;
        let dealt = &mut dealt[..at];
        dealt.sort_unstable();
        for earlier in dealt.iter() {
            if card >= *earlier {
                card += 1;
            }
        }
        hand[at] = card;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_are_of_different_cards_and_evenly_spread() {
        let mut counts = vec![0_u32; 64];
        for number in 0..20_000_u64 {
            let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut hand = [0; HAND_MAX];
            assert_eq!(deal(hash, 64, 6, &mut hand), 6);
            let mut sorted = hand[..6].to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 6, "{hand:?}");
            sorted.iter().for_each(|card| counts[*card] += 1);
        }
        let mean = 20_000 * 6 / 64;
        assert!(counts.iter().all(|count| (mean * 8 / 10..mean * 12 / 10).contains(count)), "{counts:?}");
        let mut hand = [0; HAND_MAX];
        assert_eq!(deal(7, 4, 6, &mut hand), 4, "no more cards than there are");
        assert_eq!(deal(7, 1, 1, &mut hand), 1);
        assert_eq!(hand[0], 0);
    }
}
