use super::*;

fn hash(parts: &[&[u8]]) -> u64 {
    let mut rolling = Rolling::new();
    for part in parts {
        rolling.update(part);
    }
    rolling.finish()
}

#[test]
fn parts_do_not_matter() {
    let bytes: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
    let whole = hash(&[&bytes]);
    for cut in [0, 1, 63, 64, 65, 500, 999, 1000] {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(hash(&[a, b]), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(hash(&single), whole);
}

#[test]
fn bytes_order_and_length_matter() {
    let bytes = vec![5; 256];
    let whole = hash(&[&bytes]);
    for at in 0..256 {
        let mut other = bytes.clone();
        other[at] ^= 0x80;
        assert_ne!(hash(&[&other]), whole, "byte {at}");
    }
    let (a, b) = ([1; 64], [2; 64]);
    assert_ne!(hash(&[&a, &b]), hash(&[&b, &a]));
    assert_ne!(hash(&[&[0; 10]]), hash(&[&[0; 11]]));
}
