//! What made a frame: enough to make it again.

/// See the module. With the same model, precision and device, the latent (or, of a sequence, seed and frame) gives the frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// What the user called the model.
    pub model: String,
    /// Of its file.
    pub sha256: String,
    pub seed: u64,
    /// Counted from the start of the stream.
    pub frame: u64,
    /// Numbers that the network was given, class weights aside; empty for codes.
    pub latent: Vec<f32>,
    /// How much there was of each class; empty where the model has none.
    pub classes: Vec<f32>,
    /// Codes of the picture in reading order, where the model works with some.
    pub codes: Vec<u16>,
    /// Whether the pixels carry the watermark.
    pub watermark: bool,
}

impl Provenance {
    /// The class as the property of that name takes it: a number, or one between two.
    pub fn class(&self) -> Option<f64> {
        let total: f32 = self.classes.iter().sum();
        let mean: f64 = self.classes.iter().enumerate().map(|(class, weight)| class as f64 * f64::from(*weight)).sum();
        (total > 0.0).then(|| mean / f64::from(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_number_or_between_two() {
        let class = |classes: &[f32]| Provenance { classes: classes.to_vec(), ..Provenance::default() }.class();
        assert_eq!(class(&[]), None);
        assert_eq!(class(&[0.0, 0.0, 1.0]), Some(2.0));
        assert_eq!(class(&[0.0, 0.75, 0.25]), Some(1.25));
    }
}
