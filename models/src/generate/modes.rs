//! Which ways of making frames a model has.

use super::latents::Mode;

/// Everything that decides it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modes {
    /// Pictures are made of codes, not of numbers that are drawn at random.
    pub codes: bool,
    /// The model goes on by itself.
    pub goes_on: bool,
    /// Pictures can be encoded.
    pub encodes: bool,
    /// There are pictures that were.
    pub given: bool,
}

impl Modes {
    /// What the model is best at.
    pub fn natural(&self) -> Mode {
        match (self.goes_on, self.codes) {
            (true, _) => Mode::Sequence,
            (false, true) => Mode::Reconstruct,
            (false, false) => Mode::Walk,
        }
    }

    /// # Errors
    /// When the model cannot do that, with what it can.
    pub fn check(&self, mode: Mode) -> Result<(), String> {
        let Some(reason) = self.against(mode) else { return Ok(()) };
        Err(format!("mode={} does not fit it: {reason}; {} was expected", mode.name(), self.expected()))
    }

    /// Why it cannot do that.
    fn against(&self, mode: Mode) -> Option<&'static str> {
        match mode {
            Mode::Sequence if !self.goes_on => Some("it does not go on by itself"),
            // Codes that are drawn one by one make no picture, and there is no way between two: nothing to walk through.
            Mode::Walk if self.codes => Some("between codes there is nothing to walk through"),
            Mode::Noise | Mode::Fixed if self.codes && !self.goes_on => Some("codes have no distribution to draw from"),
            Mode::Reconstruct if !self.given => Some("it shows pictures, and no start-picture was set"),
            _ => None,
        }
    }

    fn expected(&self) -> String {
        let all = [Mode::Walk, Mode::Noise, Mode::Fixed, Mode::Sequence, Mode::Reconstruct];
        let mut fit: Vec<String> = Vec::new();
        if self.against(self.natural()).is_none() {
            fit.push("auto".into());
        }
        fit.extend(all.into_iter().filter(|mode| self.against(*mode).is_none()).map(|mode| mode.name().into()));
        if !self.given && self.encodes {
            fit.push("reconstruct with a start-picture".into());
        }
        match fit.pop() {
            Some(last) if !fit.is_empty() => format!("mode={} or {last}", fit.join(", ")),
            last => format!("mode={}", last.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAN: Modes = Modes { codes: false, goes_on: false, encodes: false, given: false };
    const VQVAE: Modes = Modes { codes: true, encodes: true, ..GAN };
    const SEQUENCE: Modes = Modes { goes_on: true, ..VQVAE };

    #[test]
    fn a_refusal_lists_what_is_not_refused() {
        let all = [Mode::Walk, Mode::Noise, Mode::Fixed, Mode::Sequence, Mode::Reconstruct];
        for given in [false, true] {
            for modes in [GAN, VQVAE, SEQUENCE].map(|modes| Modes { given: given && modes.encodes, ..modes }) {
                for refused in all {
                    let Err(said) = modes.check(refused) else { continue };
                    let (why, expected) = said.split_once("; mode=").unwrap();
                    assert!(why.starts_with(&format!("mode={} does not fit", refused.name())), "{said}");
                    for mode in all {
                        let condition = format!("{} with a start-picture", mode.name());
                        let listed = expected.replace(&condition, "").contains(mode.name());
                        assert_eq!(listed, modes.check(mode).is_ok(), "{modes:?}, {mode:?}: {said}");
                    }
                }
                let fits = modes.check(modes.natural()).is_ok();
                assert_eq!(modes.expected().contains("auto"), fits, "{modes:?}");
            }
        }
        assert!(
            VQVAE.check(Mode::Sequence).unwrap_err().ends_with("; mode=reconstruct with a start-picture was expected")
        );
        assert!(GAN.check(Mode::Sequence).unwrap_err().ends_with("; mode=auto, walk, noise or fixed was expected"));
    }

    #[test]
    fn a_sequence_model_makes_single_pictures_too() {
        for mode in [Mode::Noise, Mode::Fixed, Mode::Sequence] {
            assert_eq!(SEQUENCE.check(mode), Ok(()));
        }
        assert!(SEQUENCE.check(Mode::Walk).is_err());
    }
}
