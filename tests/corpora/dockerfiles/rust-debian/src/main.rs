fn main() {
    let number: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(7);
    println!("digits: {}", itoa::Buffer::new().format(number));
}
