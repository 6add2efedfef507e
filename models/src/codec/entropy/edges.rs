//! What the neighbours of a cell say about its lowest frequencies, where nothing else predicts them.
//!
//! A picture goes on across the border between two cells. Along the border each cell's samples are its latents summed
//! over one direction of frequency, which leaves a spectrum in the other direction; the two spectra should agree. That
//! predicts each latent of the first row and column from the neighbour and from the higher latents of its own column or
//! row, and the mean from all others. The idea is that of Lepton (Horn et al., NSDI 2017), taken to the very border, where
//! a table of eight numbers is enough. It supposes latents about like those of an orthonormal DCT; where they are not,
//! predictions are poor, the models see that they are, and pay little heed.

/// What a frequency comes to at the border, in 1/128, if the last two samples before it go on in a straight line:
/// sqrt(2) * (1.5 cos(k pi / 16) - 0.5 cos(3 k pi / 16)), one for k = 0. This gained 0.4 % over the cosines' own value there,
/// which is flat at the border.
const REACH: [i32; 8] = [128, 191, 216, 243, 256, 240, 188, 103];
/// Latents beyond this, in sixteenths of a unit, are of no picture. The limit keeps sums from overflowing.
const LATENT_MAX: i32 = 1_000_000;
/// The same for the difference of two spectra.
const GAP_MAX: i32 = 200_000;

/// Spectra of samples at the four borders of a cell, in sixteenths of a unit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edges {
    pub top: [i32; 8],
    pub bottom: [i32; 8],
    pub left: [i32; 8],
    pub right: [i32; 8],
}

impl Edges {
    /// Adds the latent at horizontal frequency `u` and vertical frequency `v` of a square of `size`.
    #[inline(always)]
    pub fn add(&mut self, size: usize, u: usize, v: usize, latent: i32) {
        let latent = latent.clamp(-LATENT_MAX, LATENT_MAX);
        let apart = 8 / size;
        let across = (latent * REACH[v * apart]) >> 7;
        self.top[u] += across;
        self.bottom[u] += if v & 1 == 0 { across } else { -across };
        let along = (latent * REACH[u * apart]) >> 7;
        self.left[v] += along;
        self.right[v] += if u & 1 == 0 { along } else { -along };
    }
}

/// The nearest borders of the cells above and to the left, where they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around {
    pub above: Option<[i32; 8]>,
    pub left: Option<[i32; 8]>,
}

/// sqrt(2) * cos((2x + 1) u pi / 2n) in 1/256, one for u = 0; n = 8, then 4.
static COSINES: [[[i32; 8]; 8]; 2] = [
    [
        [256, 256, 256, 256, 256, 256, 256, 256],
        [355, 301, 201, 71, -71, -201, -301, -355],
        [334, 139, -139, -334, -334, -139, 139, 334],
        [301, -71, -355, -201, 201, 355, 71, -301],
        [256, -256, -256, 256, 256, -256, -256, 256],
        [201, -355, 71, 301, -301, -71, 355, -201],
        [139, -334, 334, -139, -139, 334, -334, 139],
        [71, -201, 301, -355, 355, -301, 201, -71],
    ],
    [
        [256, 256, 256, 256, 0, 0, 0, 0],
        [334, 139, -139, -334, 0, 0, 0, 0],
        [256, -256, -256, 256, 0, 0, 0, 0],
        [139, -334, 334, -139, 0, 0, 0, 0],
        [0; 8],
        [0; 8],
        [0; 8],
        [0; 8],
    ],
];

/// The mean that makes a cell of `size` join its neighbours, and how far estimates of it are apart; nothing if there are
/// no neighbours. Each sample along a known border gives an estimate; the outer quarter is left out on either side, since
/// an object may well end at the border.
pub fn mean(size: usize, own: &Edges, around: &Around) -> Option<(i32, i32)> {
    let cosines = &COSINES[usize::from(size != 8)];
    let mut estimates = [0i32; 16];
    let mut count = 0;
    for (own, other) in [(&own.top, &around.above), (&own.left, &around.left)] {
        let Some(other) = other else { continue };
        let mut samples = [0i32; 8];
        for u in 0..size {
            let gap = (other[u] - own[u]).clamp(-GAP_MAX, GAP_MAX);
            if gap != 0 {
                samples.iter_mut().zip(&cosines[u]).for_each(|(sample, cosine)| *sample += gap * cosine);
            }
        }
        estimates[count..count + size].copy_from_slice(&samples[..size]);
        count += size;
    }
    if count == 0 {
        return None;
    }
    let estimates = &mut estimates[..count];
    estimates.sort_unstable();
    let middle = &estimates[count / 4..count - count / 4];
    let mean = middle.iter().map(|&estimate| i64::from(estimate)).sum::<i64>() / middle.len() as i64;
    Some((((mean + 128) >> 8) as i32, (middle[middle.len() - 1] - middle[0]) >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latents of a cell of 8x8 samples.
    fn analyse(sample: impl Fn(f64, f64) -> f64) -> Vec<(usize, usize, i32)> {
        let wave = |k: usize, x: usize| {
            let scale = if k == 0 { 1.0 } else { 2f64.sqrt() } / 8f64.sqrt();
            scale * ((2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let mut latents = vec![];
        for (u, v) in (0..64).map(|i| (i % 8, i / 8)) {
            let sum: f64 =
                (0..64).map(|i| sample((i % 8) as f64, (i / 8) as f64) * wave(u, i % 8) * wave(v, i / 8)).sum();
            latents.push((u, v, (sum * 16.0).round() as i32));
        }
        latents
    }

    #[test]
    fn a_smooth_picture_predicts_its_mean_and_first_row() {
        let picture = |x: f64, y: f64| 40.0 + 3.0 * x - 2.0 * y + 10.0 * (x * 0.2).sin();
        let mut above = Edges::default();
        analyse(picture).into_iter().for_each(|(u, v, latent)| above.add(8, u, v, latent));
        let own = analyse(|x, y| picture(x, y + 8.0));
        let mut edges = Edges::default();
        own.iter().filter(|&&(_, v, _)| v > 0).for_each(|&(u, v, latent)| edges.add(8, u, v, latent));
        // 128 is one unit of a sample in the mean.
        for &(u, _, latent) in own[..4].iter() {
            assert!((above.bottom[u] - edges.top[u] - latent).abs() < 64, "frequency {u}: {latent}");
        }
        own[1..8].iter().for_each(|&(u, v, latent)| edges.add(8, u, v, latent));
        let (guess, spread) = mean(8, &edges, &Around { above: Some(above.bottom), left: None }).unwrap();
        assert!((guess - own[0].2).abs() < 64 && spread < 64, "{guess} for {}, apart {spread}", own[0].2);
    }

    #[test]
    fn the_largest_latents_do_not_overflow() {
        let mut edges = Edges::default();
        (0..64).for_each(|i| edges.add(8, i % 8, i / 8, i32::MAX));
        let other = edges.top.map(|value| -value);
        mean(8, &edges, &Around { above: Some(other), left: Some(other) });
    }
}
