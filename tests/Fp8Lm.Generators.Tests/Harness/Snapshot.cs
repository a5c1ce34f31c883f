using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using Xunit;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>
/// Verify's conventions without its package: the expected text stands in <c>Name.verified.txt</c> beside the test; what differs is written to
/// <c>Name.received.txt</c>. <c>eng/accept-snapshots.sh</c> makes the second the first; so does FP8LM_ACCEPT=1 in the environment.
/// </summary>
internal static class Snapshot
{
    private const int Context = 3;

    public static void Match(string name, string text, [CallerFilePath] string caller = "")
    {
        string folder = Path.GetDirectoryName(caller)!;
        if (!Directory.Exists(folder))
        {
            Assert.Skip("The sources are not here.");
        }

        string verified = Path.Combine(folder, name + ".verified.txt"), received = Path.Combine(folder, name + ".received.txt");
        string expected = File.Exists(verified) ? File.ReadAllText(verified).Replace("\r\n", "\n", StringComparison.Ordinal) : "";
        if (expected == text)
        {
            File.Delete(received);
            return;
        }

        bool accept = Environment.GetEnvironmentVariable("FP8LM_ACCEPT") == "1";
        File.WriteAllText(accept ? verified : received, text);
        if (!accept)
        {
            Assert.Fail($"{name} differs from its snapshot. If the change is meant, run eng/accept-snapshots.sh and commit the result.\n{Difference(expected, text)}");
        }
    }

    /// <summary>The first lines that differ, with those around them.</summary>
    internal static string Difference(string expected, string actual)
    {
        string[] before = expected.Split('\n'), after = actual.Split('\n');
        int first = before.Zip(after).TakeWhile(p => p.First == p.Second).Count();
        int same = before.Skip(first).Reverse().Zip(after.Skip(first).Reverse()).TakeWhile(p => p.First == p.Second).Count();
        List<string> lines = [string.Create(CultureInfo.InvariantCulture, $"@@ line {first + 1} @@")];
        lines.AddRange(before.Take(first).TakeLast(Context).Select(l => "  " + l));
        lines.AddRange(Clip(before[first..(before.Length - same)]).Select(l => "- " + l));
        lines.AddRange(Clip(after[first..(after.Length - same)]).Select(l => "+ " + l));
        lines.AddRange(after.TakeLast(same).Take(Context).Select(l => "  " + l));
        return string.Join('\n', lines);
    }

    private static IEnumerable<string> Clip(string[] lines) =>
        lines.Length <= 20 ? lines : [.. lines.Take(20), string.Create(CultureInfo.InvariantCulture, $"... {lines.Length - 20} more lines")];
}
