use canonry_record::{envelope::Envelope, export::*, seal::*, verify::Pins, whole::Whole, *};
use std::time::Instant;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for p in names {
        let b = std::fs::read(&p).unwrap();
        let mut w = Whole::new(Pins::default(), 2);
        let r = String::from_utf8(b).map_err(|_| "utf8".to_string()).and_then(|t| {
            t.lines()
                .try_for_each(|l| w.push(l))
                .and_then(|()| w.finish())
                .map(|s| format!("ok {}", s.position))
                .map_err(|b| format!("{} {}", b.position, b.why.code()))
        });
        println!("{} => {:?}", p.file_name().unwrap().to_str().unwrap(), r);
    }
    // speed
    let text = std::fs::read_to_string(format!("{dir}/00-healthy.jsonl")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string("tests/verifier/fixtures/test-keys.json").unwrap(),
    )
    .unwrap();
    let seed =
        |n: &str| -> [u8; 32] { encoding::unhex32(keys[n]["seed"].as_str().unwrap()).unwrap() };
    let rec = Signer::from_seed(&seed("record-2"));
    let cp = Signer::from_seed(&seed("checkpoint"));
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    lines.pop();
    let Entry::Record(last) = parse_line(lines.last().unwrap()).unwrap() else { panic!() };
    let mut hash = record_hash(&last.subject, &last.body);
    let n = 100_000u64;
    let mut msgs = vec![];
    let mut t_body = 0u128;
    for p in 13..=n {
        let id = format!("rec{p:07}");
        let i = format!("01KG9ZZZZZZZZZZZZZ{p:08}");
        let e=Envelope{id:&id,tenant:"acme",workspace:Some("main"),actor:"ines",via:Some("svc_api"),authdigest:None,intentid:Some(&i),intentdigest:Some(Hash([5;32])),correlationid:None,entity:"ticket/tkt_01kg9zzzzzzzzzzzzzzzzzzzzz",touches:&[],epoch:2,position:p,prevhash:hash,time:canonry_schemas::time::Time(1_769_860_900_000_000+p as i64),aggregate:"ticket",event:"opened",version:1,traceparent:None,data:br#"{"title":"x1:0001-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","priority":3,"ticket":"tkt_01"}"#};
        let t = Instant::now();
        let b = e.to_body();
        t_body += t.elapsed().as_nanos();
        let s = e.subject();
        let sd = seal(&s, &b, &rec);
        hash = sd.hash;
        let h: Vec<(String, String)> = headers(&id, &hash, &sd.signature, None)
            .into_iter()
            .map(|(a, b)| (a.to_string(), b))
            .collect();
        msgs.push((signature_message(&hash), parse_signature(&sd.signature).unwrap().1));
        lines.push(write_line(&Line { seq: p, subject: &s, headers: &h, body: &b }));
    }
    println!("body {} ns", t_body / n as u128);
    let head = sign_head(
        Head {
            tenant: "acme".parse().unwrap(),
            position: n,
            hash,
            time: canonry_schemas::time::Time(1_779_860_900_000_000),
        },
        &cp,
    );
    lines.push(head.to_text());
    for _ in 0..2 {
        let vk = rec.key.verifying_key();
        for threads in [1usize, 2] {
            let t = Instant::now();
            let part = msgs.len().div_ceil(threads);
            std::thread::scope(|s| {
                for c in msgs.chunks(part) {
                    s.spawn(move || {
                        for c in c.chunks(1024) {
                            let m: Vec<&[u8]> = c.iter().map(|x| &x.0[..]).collect();
                            let sg: Vec<_> = c
                                .iter()
                                .map(|x| ed25519_dalek::Signature::from_bytes(&x.1))
                                .collect();
                            let ks = vec![vk; c.len()];
                            ed25519_dalek::verify_batch(&m, &sg, &ks).unwrap();
                        }
                    });
                }
            });
            let base = t.elapsed().as_secs_f64();
            let c = lines.clone();
            let t = Instant::now();
            let mut w = Whole::new(Pins::default(), threads);
            for l in c {
                w.push(&l).unwrap();
            }
            let s = w.finish().unwrap();
            let full = t.elapsed().as_secs_f64();
            println!(
                "threads {threads}: batch {:.0}/s whole {:.0}/s ratio {:.2} {}",
                n as f64 / base,
                n as f64 / full,
                base / full,
                s.position
            );
        }
        let t = Instant::now();
        for l in &lines {
            std::hint::black_box(parse_line(l).unwrap());
        }
        println!("parse_line {:.2}us", t.elapsed().as_secs_f64() * 1e6 / n as f64);
        let own: Vec<_> = lines
            .iter()
            .filter_map(|l| match parse_line(l).unwrap() {
                Entry::Record(r) => Some(r),
                _ => None,
            })
            .collect();
        let t = Instant::now(); for l in &own{std::hint::black_box(record_hash(&l.subject,&l.body));} println!("hash {:.2}us",t.elapsed().as_secs_f64()*1e6/n as f64);
        let t = Instant::now(); for l in &own{std::hint::black_box(canonry_record::record::parse(&l.body).unwrap());} println!("parse {:.2}us {}",t.elapsed().as_secs_f64()*1e6/n as f64, own[50].body.len());
        let t = Instant::now(); for l in &own{std::hint::black_box(std::str::from_utf8(&l.body).unwrap());} println!("utf8 {:.2}us",t.elapsed().as_secs_f64()*1e6/n as f64);
        let t = Instant::now();
        for l in &own {
            std::hint::black_box(canonry_record::read::read(&l.line()).unwrap());
        }
        println!("read {:.2}us", t.elapsed().as_secs_f64() * 1e6 / n as f64);
    }
}
