use gst_torch_models::codec::picture::*;
use gst_torch_models::interpolate::*;
use gst_torch_models::metrics::psnr::psnr;
use std::time::Instant;
fn main() {
    let clips: Vec<String> = std::env::args().skip(1).collect();
    let (w, h) = (640usize, 360usize);
    let len = w * h * 3 / 2;
    let model = gst_torch_models::builtin::open(&std::env::var("MODEL").unwrap_or("interpolate".into()))
        .unwrap()
        .load("cpu".parse().unwrap(), std::env::var("PREC").unwrap_or("auto".into()).parse().unwrap())
        .unwrap();
    let interp = Some(Interpolator::new(&model, (40, 23)).unwrap());
    println!("{}", interp.as_ref().unwrap().engine().describe());
    for t in &interp.as_ref().unwrap().engine().choice().tried {
        println!("{t:?}");
    }
    for c in clips {
        let raw = std::fs::read(format!("/tmp/interpolate/y/{c}.yuv")).unwrap();
        let mi = std::fs::read(format!("/tmp/interpolate/y/{c}.mi")).unwrap();
        let frames: Vec<&[u8]> = raw.chunks_exact(len).collect();
        let mi: Vec<&[u8]> = mi.chunks_exact(len).collect();
        let pic = |f: &[u8]| {
            let mut p = Picture::grey(40, 23);
            for y in 0..368 {
                let r = y.min(359);
                p.planes[0].row_mut(y).copy_from_slice(&f[r * w..][..w]);
            }
            for (k, base) in [(1, w * h), (2, w * h * 5 / 4)] {
                for y in 0..184 {
                    let r = y.min(179);
                    p.planes[k].row_mut(y).copy_from_slice(&f[base + r * 320..][..320]);
                }
            }
            p
        };
        let n = frames.len().min(41);
        let (mut s, mut bl, mut du, mut m, mut cnt) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut t4, mut net) = (0.0, 0.0);
        let (mut t1, mut t2, mut t3) = (0.0, 0.0, 0.0);
        for i in (1..n - 1).step_by(2) {
            let a = Instant::now();
            let (x, z) = (Still::new(pic(frames[i - 1])), Still::new(pic(frames[i + 1])));
            t1 += a.elapsed().as_secs_f64() / 2.0;
            let a = Instant::now();
            let mut f = motion::estimate(&x, &z, 0.5);
            let lim: i16 = std::env::var("LIM").unwrap_or("0".into()).parse().unwrap();
            for v in &mut f.vectors {
                if v.x.abs().max(v.y.abs()) <= lim {
                    *v = Default::default();
                }
            }
            t2 += a.elapsed().as_secs_f64();
            let a = Instant::now();
            let [p, q] = warp::warp(&x, &z, &f, 0.5);
            t3 += a.elapsed().as_secs_f64();
            let made = interp.as_ref().map(|n| {
                let a = Instant::now();
                let r = n.make(&x, &z, 0.5).unwrap();
                t4 += a.elapsed().as_secs_f64();
                match r {
                    Made::Picture(p) => p,
                    Made::Cut => x.picture.clone(),
                }
            });
            let y = &frames[i][..w * h];
            let mean: Vec<u8> = p.planes[0].data[..w * h]
                .iter()
                .zip(&q.planes[0].data)
                .map(|(a, b)| ((*a as u16 + *b as u16 + 1) / 2) as u8)
                .collect();
            let blend: Vec<u8> = frames[i - 1][..w * h]
                .iter()
                .zip(frames[i + 1])
                .map(|(a, b)| ((*a as u16 + *b as u16 + 1) / 2) as u8)
                .collect();
            s += psnr(y, &mean);
            bl += psnr(y, &blend);
            du += psnr(y, &frames[i - 1][..w * h]);
            if i < mi.len() {
                m += psnr(y, &mi[i][..w * h]);
            }
            if std::env::var("DETAIL").is_ok() {
                println!(
                    "{i} blend {:.2} mi {:.2} ours {:.2} err {:.2} act {:.2} hist {:?}",
                    psnr(y, &blend),
                    psnr(y, &mi[i][..w * h]),
                    psnr(y, &mean),
                    f.errors.iter().sum::<u32>() as f64 / f.errors.len() as f64 / 256.0,
                    act(&x.picture.planes[0]),
                    {
                        let mut hh = [0; 10];
                        for v in &f.vectors {
                            hh[(v.x.abs().max(v.y.abs()) as usize).min(9)] += 1;
                        }
                        hh
                    }
                );
            }
            if let Some(m) = &made {
                net += psnr(y, &m.planes[0].data[..w * h]);
            }
            cnt += 1.0;
        }
        println!(
            "{c:8} dup {:.2} blend {:.2} mi {:.2} moved {:.2} net {:.2}   make {:.2} ms still {:.2} ms motion {:.2} ms warp {:.2} ms",
            du / cnt,
            bl / cnt,
            m / cnt,
            s / cnt,
            net / cnt,
            t4 / cnt * 1e3,
            t1 / cnt * 1e3,
            t2 / cnt * 1e3,
            t3 / cnt * 1e3
        );
    }
}

fn act(p: &Plane) -> f64 {
    let mut sum = 0.0;
    for cy in 0..p.height / 16 {
        for cx in 0..p.width / 16 {
            let mut v = Vec::new();
            for y in 0..16 {
                v.extend_from_slice(&p.row(cy * 16 + y)[cx * 16..][..16]);
            }
            let m = v.iter().map(|a| *a as f64).sum::<f64>() / 256.0;
            sum += v.iter().map(|a| (*a as f64 - m).abs()).sum::<f64>() / 256.0;
        }
    }
    sum / (p.height / 16 * p.width / 16) as f64
}
