using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using Xunit;

namespace Fp8Lm.Runtime.Tests;

/// <summary>Runs an explicit test in a process of its own, with environment variables of its own.</summary>
internal static class ChildTest
{
    /// <summary>Starts it; <see cref="Wait"/> must follow.</summary>
    public static Process Start(Type tests, string method, params IEnumerable<(string Name, string Value)> environment)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
        {
            start.ArgumentList.Add(tests.Assembly.Location);
        }

        foreach (string argument in new[] { "-method", tests.FullName + "." + method, "-explicit", "on" })
        {
            start.ArgumentList.Add(argument);
        }

        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    /// <summary>Waits for the process and fails with its output unless the one test passed.</summary>
    public static void Wait(Process child)
    {
        string text = child.StandardOutput.ReadToEnd() + child.StandardError.ReadToEnd();
        child.WaitForExit();
        Assert.True(child.ExitCode == 0, text);
        Assert.Contains("Total: 1,", text, StringComparison.Ordinal);
        child.Dispose();
    }
}
