use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_base::{BaseParseFrame, BaseParseFrameFlags};
use gst_torch_models::codec::stream::{Header, UNIT_MIN};
use gst_torch_models::codec::symbols::Kind;

use super::framing::{Framer, Step};
use super::placer::{Picture, Placer};
use super::table::Table;
use crate::codec;
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("torchparse", gst::DebugColorFlags::empty(), Some("Access units of the autoencoder codec"))
});

/// Units of a file that are looked at before the first picture leaves, some ten minutes of video, and with each one after it.
const AHEAD_FIRST: usize = 20_000;
const AHEAD: usize = 200;
/// What is waited for comes in such pieces, so that damage is seen early.
const PIECE: usize = 64 * 1024;

struct State {
    framer: Framer,
    placer: Placer,
    header: Option<Header>,
    /// Where the next byte lies if nothing is left out.
    offset: u64,
    /// Of a file that can be read anywhere.
    table: Option<Table>,
    /// Times and offsets of key frames of such a file.
    keys: BTreeMap<u64, u64>,
    /// Upstream knows the times.
    timed: bool,
}

impl Default for State {
    fn default() -> Self {
        State {
            framer: Framer::default(),
            placer: Placer::new(),
            header: None,
            offset: 0,
            table: None,
            keys: BTreeMap::new(),
            timed: false,
        }
    }
}

#[derive(Default)]
pub struct TorchParse {
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchParse {
    const NAME: &'static str = "GstTorchParse";
    type Type = super::TorchParse;
    type ParentType = gst_base::BaseParse;
}

impl ObjectImpl for TorchParse {}

impl GstObjectImpl for TorchParse {}

impl ElementImpl for TorchParse {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Autoencoder video parser",
                "Codec/Parser/Converter/Video",
                "Cuts a stream of a learned codec into access units, with times and a seek table",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sink = gst::Caps::builder(codec::MEDIA_TYPE).build();
            let src = gst::Caps::builder(codec::MEDIA_TYPE)
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .field("parsed", true)
                .build();
            [("sink", gst::PadDirection::Sink, sink), ("src", gst::PadDirection::Src, src)]
                .into_iter()
                .filter_map(|(name, way, caps)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseParseImpl for TorchParse {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        let obj = self.obj();
        obj.set_min_frame_size(UNIT_MIN as u32);
        obj.set_pts_interpolation(false);
        obj.set_syncable(true);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn set_sink_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        if let Some(header) = codec::header_of_caps(&*self.obj(), caps)? {
            self.set_header(header);
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(segment) => {
                lock(&self.state).timed = segment.segment().format() == gst::Format::Time;
            }
            gst::EventView::FlushStop(_) => {
                let mut state = lock(&self.state);
                state.framer.reset();
                state.placer.jump();
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        let event = match event.view() {
            gst::EventView::Seek(seek) => self.seek_to_key(seek).unwrap_or_else(|| event.clone()),
            _ => event.clone(),
        };
        self.parent_src_event(event)
    }

    fn handle_frame(&self, mut frame: BaseParseFrame) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let obj = self.obj();
        let offset = frame.offset();
        let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
        // A reference of its own: what is found is used while the frame is changed.
        let data = buffer.copy().into_mapped_buffer_readable().map_err(|_| gst::FlowError::Error)?;
        if obj.sink_pad().mode() == gst::PadMode::Pull {
            self.read_ahead();
        }

        let mut state = lock(&self.state);
        if offset != state.offset {
            state.framer.reset();
            state.placer.jump();
            state.offset = offset;
        }
        let step = state.framer.next(&data, obj.is_draining());
        let unit = match step {
            Step::More(length) => {
                drop(state);
                obj.set_min_frame_size(length.min(data.len() + PIECE) as u32);
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            Step::Skip(length) => {
                state.offset += length as u64;
                drop(state);
                obj.set_min_frame_size(UNIT_MIN as u32);
                return Ok((gst::FlowSuccess::Ok, length as u32));
            }
            Step::Drop(length) => {
                drop(state);
                return self.drop_frame(frame, length);
            }
            Step::Refuse(reason, header) => {
                // What comes behind it is of no use without it. A stream that was played until here may go on with the next.
                let played = state.header.take().is_some();
                drop(state);
                if played {
                    gst::element_imp_warning!(self, gst::StreamError::Format, ["{reason}"]);
                    return self.drop_frame(frame, header.end);
                }
                gst::element_imp_error!(self, gst::StreamError::Format, ["{reason}"]);
                // A decoder refuses it, too, and is heard by the user of decodebin, who is not told what a parser says in
                // the moment between its first data and the end of plugging (gstdecodebin2.c, connect_pad).
                let caps = codec::foreign_caps(&data[header.clone()]);
                obj.src_pad().push_event(gst::event::Caps::new(&caps));
                let _ = obj.finish_frame(frame, header.end as u32);
                return Err(gst::FlowError::Error);
            }
            Step::Unit(unit) => unit,
        };
        drop(state);

        let length = unit.length;
        if let Some(header) = unit.header.clone() {
            self.set_header(header);
        }
        let Some((time, duration)) = self.place(offset, unit.kind, unit.picture) else {
            return self.drop_frame(frame, length);
        };
        let key = unit.kind == Kind::Intra;
        drop(data);
        lock(&self.state).offset += length as u64;
        let buffer = frame.buffer_mut().ok_or(gst::FlowError::Error)?;
        if let Some(time) = time {
            buffer.set_pts(time);
            buffer.set_dts(time);
        }
        if buffer.duration().is_none() {
            buffer.set_duration(duration);
        }
        if key {
            buffer.unset_flags(gst::BufferFlags::DELTA_UNIT);
        } else {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        obj.set_min_frame_size(UNIT_MIN as u32);
        obj.finish_frame(frame, length as u32).map(|success| (success, 0))
    }

    fn pre_push_frame(&self, frame: &mut BaseParseFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        frame.set_flags(BaseParseFrameFlags::CLIP);
        Ok(gst::FlowSuccess::Ok)
    }
}

impl TorchParse {
    /// Announces a sequence, if it is another one.
    fn set_header(&self, header: Header) {
        if lock(&self.state).header.as_ref() == Some(&header) {
            return;
        }
        let obj = self.obj();
        let mut caps = codec::caps(&header);
        caps.make_mut().set("parsed", true);
        gst::debug!(CAT, imp = self, "{caps}");
        if header.rate.0 > 0 {
            obj.set_frame_rate(gst::Fraction::new(header.rate.0 as i32, header.rate.1 as i32), 0, 0);
        }
        lock(&self.state).header = Some(header);
        // Where they are refused, the pad keeps them, and the next frame that is pushed says why; a flushing pad does not.
        let src = obj.src_pad();
        if !src.push_event(gst::event::Caps::new(&caps)) && src.current_caps().as_ref() != Some(&caps) {
            lock(&self.state).header = None;
        }
    }

    /// Time and duration of a picture; `None` where it is of no use to anybody.
    fn place(
        &self,
        offset: u64,
        kind: Kind,
        payload: &[u8],
    ) -> Option<(Option<gst::ClockTime>, Option<gst::ClockTime>)> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let header = state.header.as_ref()?;
        let time = Picture::read(kind, payload).and_then(|picture| state.placer.place(offset, header, picture));
        let duration = (header.rate.0 > 0).then(|| gst::ClockTime::from_nseconds(state.placer.duration()));
        if state.timed {
            // Upstream's timestamps stand, and a decoder that waits for a key frame can ask for one.
            return Some((None, duration));
        }
        time.map(|time| (Some(gst::ClockTime::from_nseconds(time)), duration))
    }

    /// Takes bytes off that hold no picture to be shown.
    fn drop_frame(&self, mut frame: BaseParseFrame, length: usize) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        lock(&self.state).offset += length as u64;
        let obj = self.obj();
        obj.set_min_frame_size(UNIT_MIN as u32);
        frame.set_flags(BaseParseFrameFlags::DROP);
        obj.finish_frame(frame, length as u32).map(|success| (success, 0))
    }

    /// Goes on with the seek table of a file.
    fn read_ahead(&self) {
        let obj = self.obj();
        let mut state = lock(&self.state);
        let (mut table, units) = match state.table.take() {
            Some(table) if table.is_done() => {
                state.table = Some(table);
                return;
            }
            Some(table) => (table, AHEAD),
            None => (Table::new(), AHEAD_FIRST),
        };
        drop(state);
        let pad = obj.sink_pad();
        let duration = table.advance(units, |offset, length| {
            let buffer = pad.pull_range(offset, length as u32).ok()?;
            Some(buffer.map_readable().ok()?.to_vec())
        });
        for (offset, time) in table.take_keys() {
            let new = lock(&self.state).keys.insert(time, offset).is_none();
            if new {
                obj.add_index_entry(offset, gst::ClockTime::from_nseconds(time), true, true);
            }
        }
        if let Some(duration) = duration {
            gst::debug!(CAT, imp = self, "{} key frames in {duration} ns", lock(&self.state).keys.len());
            obj.set_duration(gst::ClockTime::from_nseconds(duration), 0);
        }
        let mut state = lock(&self.state);
        state.placer.learn(&table.placer);
        state.table = Some(table);
    }

    /// A seek in a file whose key frames are known: to the key frame itself where that is asked for, else with the help of
    /// the table.
    fn seek_to_key(&self, seek: &gst::event::Seek) -> Option<gst::Event> {
        let (rate, mut flags, start_type, start, stop_type, stop) = seek.get();
        let gst::GenericFormattedValue::Time(Some(target)) = start else { return None };
        let state = lock(&self.state);
        state.table.as_ref().filter(|table| table.is_done())?;
        let before = state.keys.range(..=target.nseconds()).next_back();
        if state.keys.is_empty() || start_type != gst::SeekType::Set {
            return None;
        }
        let mut start = target;
        if flags.contains(gst::SeekFlags::KEY_UNIT) && rate > 0.0 {
            let after = state.keys.range(target.nseconds()..).next();
            let nearest =
                match (flags.contains(gst::SeekFlags::SNAP_BEFORE), flags.contains(gst::SeekFlags::SNAP_AFTER)) {
                    (true, true) => {
                        let distance = |key: &(&u64, &u64)| key.0.abs_diff(target.nseconds());
                        before.into_iter().chain(after).min_by_key(distance)
                    }
                    (false, true) => after,
                    _ => before,
                };
            start = gst::ClockTime::from_nseconds(*nearest.or(before).or(after)?.0);
            flags.remove(gst::SeekFlags::SNAP_BEFORE | gst::SeekFlags::SNAP_AFTER | gst::SeekFlags::KEY_UNIT);
        }
        flags.insert(gst::SeekFlags::ACCURATE);
        let builder = gst::event::Seek::builder(rate, flags, start_type, start, stop_type, stop);
        Some(builder.seqnum(seek.seqnum()).build())
    }
}
