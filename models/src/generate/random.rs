//! Random numbers that are a function of where they stand: frame N needs none of those before it.
//!
//! SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) over a seed, a stream and an
//! index; normal numbers by Box and Muller's transform.

/// Which of the independent sequences of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The key of this number on a walk.
    Key(u64),
    /// The frame of this number.
    Frame(u64),
    /// The class of the key of this number.
    KeyClass(u64),
    /// The class of the frame of this number.
    FrameClass(u64),
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers, one after the other, the same for the same seed and stream.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64, stream: Stream) -> Self {
        let (kind, number) = match stream {
            Stream::Key(number) => (1, number),
            Stream::Frame(number) => (2, number),
            Stream::KeyClass(number) => (3, number),
            Stream::FrameClass(number) => (4, number),
        };
        Random { state: mix(mix(seed.wrapping_add(GOLDEN)) ^ mix(number.wrapping_mul(GOLDEN).wrapping_add(kind))) }
    }

    /// Any number of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// From 0 up to, not including, 1.
    pub fn even(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `out` from the standard normal distribution.
    pub fn normal(&mut self, out: &mut [f32]) {
        for pair in out.chunks_mut(2) {
            let radius = (-2.0 * (1.0 - self.even()).ln()).sqrt(); // 1 - even is never 0
            let (sine, cosine) = (std::f64::consts::TAU * self.even()).sin_cos();
            for (value, part) in pair.iter_mut().zip([cosine, sine]) {
                *value = (radius * part) as f32;
            }
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_splitmix64() {
        // Published test vector for a state of 1234567.
        let mut random = Random { state: 1234567 };
        assert_eq!([random.bits(), random.bits()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn normal_numbers_have_their_moments_and_streams_are_independent() {
        let mut first = vec![0.0; 100_001];
        Random::new(7, Stream::Key(3)).normal(&mut first);
        let moment = |power| first.iter().map(|v| f64::from(*v).powi(power)).sum::<f64>() / first.len() as f64;
        assert!(moment(1).abs() < 0.01, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.15, "{} {}", moment(2), moment(4));
        for (seed, stream) in
            [(8, Stream::Key(3)), (7, Stream::Key(4)), (7, Stream::Frame(3)), (7, Stream::KeyClass(3))]
        {
            let mut other = vec![0.0; first.len()];
            Random::new(seed, stream).normal(&mut other);
            let product: f64 = first.iter().zip(&other).map(|(a, b)| f64::from(a * b)).sum();
            assert!((product / first.len() as f64).abs() < 0.015, "{seed} {stream:?}");
        }
    }
}
