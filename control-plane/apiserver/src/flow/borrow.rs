//! How many seats each level may use now: its nominal share, less what it lends, more what it borrows.

/// What a level may claim, in seats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Its share of the whole.
    pub nominal: f64,
    /// What it keeps even when it does not need it.
    pub least: f64,
    /// What it may have at most.
    pub most: f64,
    /// The peak of what it wanted of late.
    pub peak: f64,
    /// What it wanted of late, smoothed.
    pub wanted: f64,
}

/// Shares of the whole: nominal seats of levels by their shares, rounded up so that nobody gets none.
pub fn nominal(total: u32, shares: &[u32]) -> Vec<u32> {
    let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    let of = |share: u32| (u64::from(total) * u64::from(share)).div_ceil(sum.max(1));
    shares.iter().map(|share| u32::try_from(of(*share)).unwrap_or(total)).collect()
}

/// Divides `total` seats: everybody gets at least the smaller of what it keeps and what it needs, nobody more than it may have, and
/// between these all get the same fraction of what they want.
pub fn divide(total: f64, claims: &[Claim]) -> Vec<u32> {
    let floor = |claim: &Claim| claim.least.max(claim.nominal.min(claim.peak));
    let target = |claim: &Claim| floor(claim).max(claim.wanted);
    let at = |claim: &Claim, fraction: f64| {
        (target(claim) * fraction).max(floor(claim)).min(claim.most.max(floor(claim)))
    };
    let sum = |fraction: f64| claims.iter().map(|claim| at(claim, fraction)).sum::<f64>();
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while sum(high) < total && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if sum(middle) > total { high = middle } else { low = middle }
    }
    claims.iter().map(|claim| at(claim, low).round().max(1.0) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominal_seats_are_upstreams() {
        // Shares of the bootstrap levels with upstream's 600 seats.
        assert_eq!(nominal(600, &[5, 30, 40, 10, 40, 100, 20]), [13, 74, 98, 25, 98, 245, 49]);
        assert_eq!(nominal(10, &[0, 1]), [0, 10]);
        assert_eq!(nominal(10, &[]), Vec::<u32>::new());
    }

    fn claim(nominal: f64, lends: f64, peak: f64) -> Claim {
        Claim { nominal, least: nominal * (1.0 - lends), most: 600.0, peak, wanted: peak }
    }

    #[test]
    fn who_needs_borrows_from_who_lends() {
        let idle = claim(300.0, 0.9, 0.0);
        let busy = claim(300.0, 0.5, 900.0);
        let seats = divide(600.0, &[idle, busy]);
        assert!(seats[0] >= 30 && seats[1] >= 560, "{seats:?}");
        // Both busy: each gets its nominal share back.
        let seats = divide(600.0, &[claim(300.0, 0.9, 900.0), busy]);
        assert_eq!(seats, [300, 300]);
        // Who lends nothing keeps all.
        let seats = divide(600.0, &[claim(300.0, 0.0, 0.0), busy]);
        assert_eq!(seats, [300, 300]);
        // Nobody exceeds his limit, and the rest may stay unused.
        let limited = Claim { most: 350.0, ..busy };
        assert_eq!(divide(600.0, &[idle, limited])[1], 350);
    }

    #[test]
    fn in_quiet_times_the_seats_are_spread_by_need() {
        let seats =
            divide(600.0, &[claim(100.0, 0.5, 10.0), claim(200.0, 0.5, 10.0), claim(300.0, 0.5, 10.0)]);
        assert!(
            seats.iter().sum::<u32>() <= 602
                && seats.iter().zip([50, 100, 150]).all(|(have, least)| *have >= least),
            "{seats:?}"
        );
    }
}
