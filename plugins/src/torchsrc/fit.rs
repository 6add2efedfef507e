//! Settings that do not fit the model that runs: told once, while what fitted before goes on.

use std::sync::atomic::Ordering;

use gst::subclass::prelude::*;
use gst_torch_models::generate::generator::Generator;
use gst_torch_models::generate::latents::Mode;

use super::imp::TorchSrc;
use crate::sync::lock;

/// What is known of how settings and model fit.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// The last mode that did.
    mode: Option<Mode>,
    /// The one that does not, if there is one and that was said.
    refused: Option<Mode>,
    /// Likewise.
    class: Option<f64>,
}

impl Fit {
    /// Another model runs. The mode of before may fit it, too.
    pub fn forget(&mut self) {
        (self.refused, self.class) = (None, None);
    }

    /// The mode of the next frame, where `wanted` is asked for and `fits` knows what the model can; and whether it is now to be
    /// said that this is another one.
    fn mode(&mut self, wanted: Mode, natural: Mode, fits: impl Fn(Mode) -> bool, settled: bool) -> (Mode, bool) {
        if fits(wanted) {
            (self.mode, self.refused) = (Some(wanted), None);
            return (wanted, false);
        }
        let tell = settled && self.refused != Some(wanted);
        if tell {
            self.refused = Some(wanted);
        }
        (self.mode.filter(|mode| fits(*mode)).unwrap_or(natural), tell)
    }

    /// Whether it is to be said that the model has no such class.
    fn class(&mut self, class: f64, classes: usize) -> bool {
        let beyond = class >= 0.0 && class > classes as f64 - 1.0;
        let tell = beyond && self.class != Some(class);
        self.class = beyond.then_some(class);
        tell
    }
}

impl TorchSrc {
    /// The mode of the next frame. One that was set while playing and does not fit the model leaves the one before, and has to
    /// wait for a model that is being loaded: the two may belong together.
    pub(super) fn fitting_mode(&self, generator: &Generator, fit: &mut Fit) -> Mode {
        let wanted = lock(&self.settings).for_frame(generator).mode;
        let settled = self.settled.load(Ordering::SeqCst) == self.generation.load(Ordering::SeqCst)
            && lock(&self.next_generator).is_none();
        let modes = generator.modes();
        let (mode, tell) = fit.mode(wanted, modes.natural(), |mode| modes.check(mode).is_ok(), settled);
        if let (true, Err(error)) = (tell, generator.check(wanted)) {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{error}; mode={} goes on", mode.name()]);
        }
        mode
    }

    /// Says so where the model has no such class.
    pub(super) fn check_class(&self, generator: &Generator, fit: &mut Fit, class: f64) {
        let classes = generator.latents().space().classes;
        if !fit.class(class, classes) {
            return;
        }
        let name = &generator.model().info().name;
        let expected = match classes {
            0 => "it has no classes; class=-1 was expected".to_owned(),
            _ => format!("0 to {} was expected, or -1 for any; the last class is shown", classes - 1),
        };
        gst::element_imp_warning!(self, gst::LibraryError::Settings, ["model '{name}': class={class}: {expected}"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_once_and_leaves_what_did() {
        let mut fit = Fit::default();
        let gan = |mode| matches!(mode, Mode::Walk | Mode::Noise);
        let mut next = |wanted, settled| fit.mode(wanted, Mode::Walk, gan, settled);
        assert_eq!(next(Mode::Noise, true), (Mode::Noise, false));
        // Nothing is said while another model may be on its way.
        assert_eq!(next(Mode::Sequence, false), (Mode::Noise, false));
        assert_eq!(next(Mode::Sequence, true), (Mode::Noise, true));
        assert_eq!(next(Mode::Sequence, true), (Mode::Noise, false));
        assert_eq!(next(Mode::Reconstruct, true), (Mode::Noise, true));
        assert_eq!(next(Mode::Walk, true), (Mode::Walk, false));
        assert_eq!(next(Mode::Sequence, true), (Mode::Walk, true));
        // Another model, whose like was never shown.
        assert_eq!(fit.mode(Mode::Walk, Mode::Sequence, |mode| mode == Mode::Sequence, true), (Mode::Sequence, true));
    }

    #[test]
    fn classes_beyond_the_last_are_told_once() {
        let mut fit = Fit::default();
        let told: Vec<_> = [-1.0, 0.0, 1.0, 1.5, 1.5, 7.0, 1.0, 7.0].map(|class| fit.class(class, 2)).into();
        assert_eq!(told, [false, false, false, true, false, true, false, true]);
        assert!(!fit.class(-1.0, 0) && fit.class(0.0, 0));
    }
}
