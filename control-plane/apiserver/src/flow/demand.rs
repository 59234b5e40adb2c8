//! How many seats a level wanted over a period: mean, deviation, peak.

/// Of the smoothed demand how much is kept at each adjustment (every 10 s); as upstream, a fall takes some ten minutes.
const KEPT: f64 = 0.977;

/// Integrates a number of seats over time.
#[derive(Debug, Default, Clone)]
pub struct Demand {
    since_ns: u64,
    last_ns: u64,
    seats: f64,
    sum: f64,
    squares: f64,
    peak: f64,
    smoothed: f64,
}

impl Demand {
    /// From `now_ns` on so many seats are wanted.
    pub fn set(&mut self, now_ns: u64, seats: u32) {
        self.integrate(now_ns);
        self.seats = f64::from(seats);
        self.peak = self.peak.max(self.seats);
    }

    fn integrate(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.last_ns) as f64;
        self.sum += passed * self.seats;
        self.squares += passed * self.seats * self.seats;
        self.last_ns = self.last_ns.max(now_ns);
    }

    /// Ends a period: gives the peak and the smoothed envelope (mean plus deviation, not above the peak) and begins the next one.
    pub fn take(&mut self, now_ns: u64) -> (f64, f64) {
        self.integrate(now_ns);
        let passed = self.last_ns.saturating_sub(self.since_ns) as f64;
        let (mean, deviation) = if passed > 0.0 {
            let mean = self.sum / passed;
            (mean, (self.squares / passed - mean * mean).max(0.0).sqrt())
        } else {
            (self.seats, 0.0)
        };
        let envelope = (mean + deviation).min(self.peak);
        self.smoothed = envelope.max(KEPT * self.smoothed + (1.0 - KEPT) * envelope);
        let peak = self.peak;
        (self.since_ns, self.sum, self.squares, self.peak) = (self.last_ns, 0.0, 0.0, self.seats);
        (peak, self.smoothed)
    }
}
