#pragma once

// Integer and element types. NVRTC has no toolkit headers, so everything starts here; 16- and 8-bit floats are opaque bits that only
// load, store and the tensor cores interpret.
namespace fp8lm {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };
struct e4m3 { u8 bits; };
struct e5m2 { u8 bits; };

// Numbers of a known range in a byte: (bits - kZero) / kPerUnit. 0 is exact, nothing is off by more than half a step of 1 / kPerUnit.
template <int kZero, int kPerUnit> struct fixed8 { u8 bits; };

template <class A, class B> constexpr bool kSame = false;
template <class A> constexpr bool kSame<A, A> = true;

template <class T> constexpr bool kIsFixed8 = false;
template <int kZero, int kPerUnit> constexpr bool kIsFixed8<fixed8<kZero, kPerUnit>> = true;

template <class T> constexpr bool kIsFp8 = kSame<T, e4m3> || kSame<T, e5m2>;

constexpr int kWarpSize = 32;
constexpr u32 kAllLanes = 0xFFFFFFFFu;

template <class T> __device__ constexpr T ceil_div(T a, T b) { return (a + b - 1) / b; }

}  // namespace fp8lm
