#pragma once
// Rows of one chunk of the output head; the same rule as Execution/HeadChunk.cs.

namespace fp8lm {

constexpr long long chunk_rows(long long tokens, long long vocabulary)
{
    constexpr long long kTargetElements = 1ll << 28;
    if (tokens * vocabulary <= kTargetElements || tokens % 16 != 0) return tokens;
    long long rows = tokens & -tokens;
    while (rows > 16 && rows * vocabulary > kTargetElements) rows /= 2;
    return rows;
}

}  // namespace fp8lm
