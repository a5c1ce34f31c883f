using System;

namespace Fp8Lm.CommandLine;

/// <summary>Numbers with units, for people.</summary>
internal static class Units
{
    public static string Bytes(long bytes) => bytes switch
    {
        < 1 << 10 => FormattableString.Invariant($"{bytes} B"),
        < 1 << 20 => FormattableString.Invariant($"{bytes / 1024.0:F1} KiB"),
        < 1 << 30 => FormattableString.Invariant($"{bytes / 1048576.0:F1} MiB"),
        _ => FormattableString.Invariant($"{bytes / 1073741824.0:F2} GiB"),
    };

    public static string Count(long count) => count switch
    {
        < 1_000_000 => FormattableString.Invariant($"{count / 1e3:F1} K"),
        < 1_000_000_000 => FormattableString.Invariant($"{count / 1e6:F1} M"),
        _ => FormattableString.Invariant($"{count / 1e9:F2} G"),
    };

    public static string Duration(double seconds) => seconds switch
    {
        < 90 => FormattableString.Invariant($"{seconds:F0} s"),
        < 5400 => FormattableString.Invariant($"{seconds / 60:F0} min"),
        < 172800 => FormattableString.Invariant($"{seconds / 3600:F1} h"),
        _ => FormattableString.Invariant($"{seconds / 86400:F1} days"),
    };
}
