//! Pictures to access units.

use std::sync::Arc;

use gst_torch_runtime::{Error, Result};
use tch::{Device, Kind as Type, TchError, Tensor};

use super::model::Model;
use super::network::Network;
use super::{decoder, kept};
use crate::codec::array;
use crate::codec::canvas::Frame;
use crate::codec::control::Rate;
use crate::codec::detail::Detail;
use crate::codec::encoder::{Coded, Request};
use crate::codec::entropy::latents::Latents;
use crate::codec::guess::Guess;
use crate::codec::picture::Picture;
use crate::codec::stream::{Header, PictureUnit};
use crate::codec::symbols::Kind;
use crate::codec::tensors;

/// Mean squared change of samples that counts as noise, at step index 0; doubles with every `NOISE_STEPS` of them.
const NOISE: f32 = 2.0;
const NOISE_STEPS: f32 = 24.0;

/// Codes one sequence. Its network runs where `encode` is called: to be called on a worker of the runtime.
pub struct Encoder {
    model: Arc<Model>,
    network: Network,
    header: Header,
    coders: Vec<Latents>,
    guess: Guess,
    detail_guess: Guess,
    detail: Option<Detail>,
    number: u8,
    before: Option<Before>,
}

/// The picture before.
struct Before {
    /// The picture that each cell's code was made from.
    source: Picture,
    /// All digits of it, channel by channel.
    digits: Vec<i32>,
    checksum: u16,
}

impl Encoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let detail = Detail::new(header.width.into(), header.height.into(), header.subsampling);
        let (network, coders) = (model.network(), model.coders(&header));
        let (guess, detail_guess) = (Guess::default(), Guess::default());
        Encoder { model, network, header, coders, guess, detail_guess, detail, number: 0, before: None }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Codes a picture of the header's size. Changes of steps by block are of no account here.
    pub fn encode(&mut self, frame: &Frame, request: &Request) -> Result<Coded> {
        let _guard = tch::no_grad_guard();
        array::expect(frame, &self.header, &self.model.name)?;
        let model = Arc::clone(&self.model);
        let torch = |e: TchError| Error::torch(&model.name, e.to_string());
        let before = self.before.take().filter(|_| !request.key);
        let key = before.is_none();
        let mut source = frame.to_canvas();
        let mut digits = self.digits(&source).map_err(torch)?;
        let reference = before.as_ref().map(|before| before.checksum);
        if let Some(before) = &before {
            // Judged by the step that is asked for, or else the one that it will be about.
            let step = match request.rate {
                Rate::Step(step) => step,
                Rate::Bits { target, .. } => self.guess.step(false, target),
            };
            hold(before, &mut source, &mut digits, NOISE * (f32::from(step) / NOISE_STEPS).exp2());
        }
        let (width, count) = (self.header.blocks().0 * 2, self.model.digits());
        let slices: Vec<_> = self.header.slices().map(|rows| rows.start * 2 * width..rows.end * 2 * width).collect();
        let area = digits.len() / count;
        let (step, (coders, coded)) = array::fit(&mut self.guess, request.rate, key, &self.detail_guess, |step| {
            let kept = kept(step, count);
            let mut coders = self.coders.clone();
            let mut coded = Vec::with_capacity(coders.len());
            for (coder, slice) in coders.iter_mut().zip(&slices) {
                if key {
                    model.restart(coder);
                }
                let part: Vec<i32> =
                    digits.chunks(area).take(kept).flat_map(|channel| &channel[slice.clone()]).copied().collect();
                // What a network gave is within bounds; if not, the error says so.
                let bytes = coder.encode_first(&part);
                coded.push(bytes.map_err(|reason| Error::Mismatch { model: model.name.clone(), reason })?);
            }
            let bytes = coded.iter().map(Vec::len).sum();
            Ok(((coders, coded), bytes))
        })?;
        self.coders = coders;
        let kept = kept(step, count);
        let sent = [&digits[..kept * area], &vec![0; (count - kept) * area]].concat();
        let detail = match &mut self.detail {
            Some(detail) => {
                let decoded = decoder::picture(&self.model, &self.network, &sent, kept, self.header.blocks());
                let mut base = Frame::of_canvas(&decoded.map_err(torch)?, &self.header);
                let bytes = detail.encode(frame, &mut base, step, key);
                self.detail_guess.learn(key, step, bytes.len() as u32 * 8);
                Some(bytes)
            }
            None => None,
        };
        self.before = Some(Before { source, checksum: array::checksum(&sent), digits });
        self.number = self.number.wrapping_add(1);
        let mut bytes = if key { self.header.write() } else { Vec::new() };
        let unit = PictureUnit {
            kind: if key { Kind::Intra } else { Kind::Inter },
            step,
            number: self.number,
            reference,
            tones: None,
            time: request.time,
            slices: coded.iter().map(Vec::as_slice).collect(),
            detail: detail.as_deref(),
        };
        bytes.extend(unit.write());
        Ok(Coded { bytes, key, step })
    }

    /// All digits of a picture, channel by channel.
    fn digits(&self, canvas: &Picture) -> Result<Vec<i32>, TchError> {
        let samples = tensors::of_pictures(&[canvas])?.f_to_device(self.network.device())?;
        let digits = self.network.round(&self.network.encode(&samples, self.model.kind())?)?;
        let digits: Tensor = digits.f_to_kind(Type::Int)?.f_to_device(Device::Cpu)?;
        Vec::<i32>::try_from(digits.f_contiguous()?.f_view([-1])?)
    }
}

/// Cells that changed no more than noise does keep their codes, which then cost next to nothing. They are compared with the
/// picture that their code was made from, so that slow changes add up until they are seen.
fn hold(before: &Before, source: &mut Picture, digits: &mut [i32], noise: f32) {
    let (columns, rows) = source.blocks();
    let (width, height) = (columns * 2, rows * 2);
    let area = width * height;
    for cell in 0..area {
        let (x, y) = (cell % width, cell / width);
        if moved(&before.source, source, x, y, noise) {
            continue;
        }
        for (new, old) in digits[cell..].iter_mut().step_by(area).zip(before.digits[cell..].iter().step_by(area)) {
            *new = *old;
        }
        for (new, old) in source.planes.iter_mut().zip(&before.source.planes) {
            let side = new.width / width;
            for row in y * side..(y + 1) * side {
                new.row_mut(row)[x * side..][..side].copy_from_slice(&old.row(row)[x * side..][..side]);
            }
        }
    }
}

/// Whether any 4x4 samples of a cell have changed by more than `noise`.
fn moved(old: &Picture, new: &Picture, x: usize, y: usize, noise: f32) -> bool {
    let quad = |plane: usize, x: usize, y: usize| {
        let mut sum = 0;
        for row in y..y + 4 {
            let pair = old.planes[plane].row(row)[x..][..4].iter().zip(&new.planes[plane].row(row)[x..][..4]);
            sum += pair.map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum::<i32>();
        }
        sum as f32 > noise * 16.0
    };
    (0..4).any(|i| quad(0, x * 8 + i % 2 * 4, y * 8 + i / 2 * 4)) || quad(1, x * 4, y * 4) || quad(2, x * 4, y * 4)
}
