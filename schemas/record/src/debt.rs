//! Signatures that are yet to be verified, alone or together. The chain is in [`crate::verify`].
//!
//! What a batch decides: signatures whose S or R is not canonical, whose R is of small order, or
//! whose key is outside the prime-order group are decided alone, strictly. For the rest a batch
//! accepts what single decisions accept. The one difference left: whoever holds the private key
//! can make a signature with an R of mixed order, which a single decision refuses and a batch may
//! accept. It is no forgery (it needs the key and names this very record), and
//! `Verifier::strict` turns batches off for those who want one answer even then.

use ed25519_dalek::VerifyingKey;

use crate::batch::{Signed, holds};
use crate::read::{Read, Why};
use crate::ring::Entry;
use crate::seal::{signature_message, verify_strict};
use crate::verify::Break;

/// Signatures that are decided together at the most.
pub const BATCH: usize = 1_024;

/// A signature that the chain stage has yet to see verified.
pub struct Debt {
    position: u64,
    key: VerifyingKey,
    together: bool,
    message: [u8; 47],
    signature: [u8; 64],
}

impl Debt {
    /// What this record owes, by the key that its ring holds.
    pub fn new(position: u64, signer: &Entry, read: &Read<'_>) -> Self {
        Self {
            position,
            key: signer.verifying,
            together: signer.prime_order && plain_point(&read.signature),
            message: signature_message(&read.hash),
            signature: read.signature,
        }
    }
}

/// Whether R is the canonical form of a y-coordinate that no small-order point has. Only then do
/// batches decide about it as single decisions do.
fn plain_point(signature: &[u8; 64]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ];
    let mut y = [0; 32];
    y.copy_from_slice(&signature[..32]);
    y[31] &= 0x7f;
    let low = y[1..].iter().all(|b| *b == 0) && y[0] <= 1;
    // 2^255 - 20 is -1; anything at or above it is -1 or not canonical.
    let high = y[31] == 0x7f && y[1..31].iter().all(|b| *b == 0xff) && y[0] >= 0xec;
    !low && !high && !ORDER_8.contains(&y)
}

/// Decides one signature.
pub fn alone(debt: &Debt) -> Result<(), Break> {
    if verify_strict(&debt.key, &debt.message, &debt.signature) {
        Ok(())
    } else {
        Err(Break { position: debt.position, why: Why::Signature })
    }
}

/// Decides signatures together; where that fails, alone, to find the first wrong one.
pub fn together(debts: &[Debt], strict: bool) -> Result<(), Break> {
    for part in debts.chunks(BATCH) {
        if strict || part.len() == 1 || !batch_holds(part) {
            part.iter().try_for_each(alone)?;
        }
    }
    Ok(())
}

fn batch_holds(part: &[Debt]) -> bool {
    if !part.iter().all(|debt| debt.together) {
        return false;
    }
    let signed = |debt| {
        let Debt { key, message, signature, .. }: &Debt = debt;
        Signed { key, message, signature }
    };
    holds(&part.iter().map(signed).collect::<Vec<_>>())
}
