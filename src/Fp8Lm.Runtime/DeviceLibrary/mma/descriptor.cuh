#pragma once
#include <fp8lm/common/types.cuh>

// Operand tiles that TMA writes and wgmma reads, all with the 128-byte swizzle: a tile is panels of rows of 128 bytes, 8 rows an atom of
// 1024 bytes. K-major: a row is one M (or N) index and 128 bytes of K. Otherwise (16-bit types): a row is one K index and 64 of M (or N).
namespace fp8lm::mma {

constexpr int kRowBytes = 128;
constexpr int kAtomBytes = 8 * kRowBytes;

// Descriptor without the address: swizzle mode 1, stride between atoms, and for the M-major form the distance between panels.
__device__ constexpr u64 descriptor_base(int panel_bytes)
{
    return (u64)1 << 62 | (u64)(kAtomBytes >> 4) << 32 | (u64)(panel_bytes >> 4) << 16;
}

__device__ inline u64 descriptor(u64 base, u32 address) { return base | (address & 0x3FFFF) >> 4; }

// One operand of a block tile: kRows of M or N by 128 bytes of K.
template <class T, bool kKMajor, int kRowsOfTile> struct Operand
{
    static_assert(kKMajor || sizeof(T) == 2, "wgmma reads 8-bit operands K-major only");
    static_assert(kRowsOfTile % (kKMajor ? 8 : 64) == 0, "atoms hold 8 rows, panels of the transposed form 64");

    static constexpr int kBlockK = kRowBytes / sizeof(T);
    static constexpr int kBytes = kRowsOfTile * kRowBytes;
    static constexpr int kPanelBytes = kBlockK * kRowBytes;    // only the M-major form has panels

    static constexpr u64 kBase = descriptor_base(kKMajor ? 16 : kPanelBytes);

    // Added to a descriptor to reach the next 32 bytes of K: inside the swizzled row, or two atoms of 8 K rows further.
    static constexpr u64 kStepK = kKMajor ? 32 >> 4 : 2 * kAtomBytes >> 4;

    // Bytes from one group of 64 rows to the next; the same in both forms.
    static constexpr int kGroupBytes = 64 * kRowBytes;
    static_assert(kKMajor || kPanelBytes == kGroupBytes, "a panel of the M-major form is 64 K rows of 64 elements");
};

}  // namespace fp8lm::mma
