//! x264 introduces itself in the first packet of every stream: some 570 bytes of options in a message to nobody (SEI,
//! user data). On a short clip of a still camera that is several percent of the bits, which are no decoder's need.

use anyhow::{Context, Result};

const SEI: u8 = 6;
const USER_DATA_UNREGISTERED: u8 = 5;

/// The packet, an access unit in Annex B's format, without messages of user data; all else as it was.
pub fn without_user_data(packet: &gst::Buffer) -> Result<gst::Buffer> {
    let data = packet.map_readable()?;
    let kept = strip(&data);
    if kept.len() == data.len() {
        return Ok(packet.clone());
    }
    let mut stripped = gst::Buffer::from_mut_slice(kept);
    let writable = stripped.get_mut().context("a new buffer is writable")?;
    packet.copy_into(writable, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..)?;
    Ok(stripped)
}

fn strip(packet: &[u8]) -> Vec<u8> {
    let starts: Vec<usize> = (0..packet.len().saturating_sub(2)).filter(|&i| packet[i..i + 3] == [0, 0, 1]).collect();
    // A longer start code is three bytes and a zero before them, which goes with the unit that it starts.
    let begin = |&i: &usize| if i > 0 && packet[i - 1] == 0 { i - 1 } else { i };
    let begins: Vec<usize> = starts.iter().map(begin).collect();
    let ends = begins.iter().skip(1).copied().chain([packet.len()]);
    let mut kept = packet[..begins.first().copied().unwrap_or(packet.len())].to_vec();
    for ((&start, &begin), end) in starts.iter().zip(&begins).zip(ends) {
        let unit = &packet[start + 3..end];
        let user_data = unit.len() > 1 && unit[0] & 31 == SEI && unit[1] == USER_DATA_UNREGISTERED;
        if !user_data {
            kept.extend_from_slice(&packet[begin..end]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_goes_and_all_else_stays() {
        let parameters = [0, 0, 0, 1, 0x67, 1, 2, 3];
        let introduction = [0, 0, 1, 0x06, 5, 3, b'h', b'i', b'!', 0x80];
        let recovery_point = [0, 0, 1, 0x06, 6, 1, 0x84, 0x80];
        let slice = [0, 0, 0, 1, 0x65, 9, 0, 0, 3, 1, 9];
        let packet = [&parameters[..], &introduction, &recovery_point, &slice].concat();
        assert_eq!(strip(&packet), [&parameters[..], &recovery_point, &slice].concat());
        assert_eq!(strip(&slice), slice);
        assert!(strip(&[]).is_empty());
        assert_eq!(strip(&[7, 7, 7, 7]), [7, 7, 7, 7]);
    }

    #[test]
    fn a_packet_keeps_its_time() {
        gst::init().unwrap();
        let mut packet = gst::Buffer::from_slice([0, 0, 1, 0x06, 5, 1, 7, 0x80, 0, 0, 1, 0x65, 9]);
        packet.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40));
        let stripped = without_user_data(&packet).unwrap();
        assert_eq!((stripped.size(), stripped.pts()), (5, packet.pts()));
    }
}
