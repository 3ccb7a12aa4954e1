//! Bytes in memory as a disk takes them without a copy: whole blocks, at addresses that are multiples of a block.

use std::slice;

/// What every disk in use takes, and file systems as well. `align` below is the same.
pub(super) const BLOCK: usize = 4 << 10;

#[repr(C, align(4096))]
pub(super) struct Block(pub [u8; BLOCK]);

/// What a file is filled with ahead.
pub(super) static ZEROS: Block = Block([0; BLOCK]);

/// Bytes, and zeros behind them up to the end of a block.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    filled: usize,
}

impl Blocks {
    /// Without the zeros.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.filled % BLOCK;
            if at == 0 {
                self.blocks.push(Block([0; BLOCK]));
            }
            let (here, rest) = bytes.split_at(bytes.len().min(BLOCK - at));
            if let Some(last) = self.blocks.last_mut() {
                last.0[at..at + here.len()].copy_from_slice(here);
            }
            self.filled += here.len();
            bytes = rest;
        }
    }

    /// All of them, whole blocks.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: blocks are bytes without gaps between them.
        unsafe { slice::from_raw_parts(self.blocks.as_ptr().cast(), self.blocks.len() * BLOCK) }
    }

    /// Forgets all but the bytes of a block that is not full; how many those are that went.
    pub(super) fn keep_open_block(&mut self) -> usize {
        let whole = self.filled / BLOCK;
        self.blocks.drain(..whole);
        self.filled %= BLOCK;
        whole * BLOCK
    }

    /// Gives back memory that is seldom needed.
    pub(super) fn shrink(&mut self, most_bytes: usize) {
        self.blocks.shrink_to(most_bytes / BLOCK);
    }
}

/// The bytes of whole blocks.
pub(super) fn bytes_mut(blocks: &mut [Block]) -> &mut [u8] {
    // SAFETY: blocks are bytes without gaps between them.
    unsafe { slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len() * BLOCK) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_in_whole_blocks_with_zeros_behind_them() {
        let mut blocks = Blocks::default();
        let all: Vec<u8> = (0..3 * BLOCK + 5).map(|at| (at % 251) as u8 + 1).collect();
        let mut from = 0;
        for upto in [1, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 7, all.len()] {
            blocks.append(&all[from..upto]);
            from = upto;
            assert_eq!((blocks.filled(), blocks.bytes().len()), (upto, upto.div_ceil(BLOCK) * BLOCK));
            assert_eq!(blocks.bytes()[..upto], all[..upto]);
            assert!(blocks.bytes()[upto..].iter().all(|byte| *byte == 0));
            assert!(blocks.bytes().as_ptr().addr().is_multiple_of(BLOCK));
        }
        assert_eq!(blocks.keep_open_block(), 3 * BLOCK);
        assert_eq!((blocks.filled(), &blocks.bytes()[..5]), (5, &all[3 * BLOCK..]));
        blocks.append(&all[..BLOCK - 5]);
        assert_eq!((blocks.keep_open_block(), blocks.filled(), blocks.bytes().len()), (BLOCK, 0, 0));
    }
}
