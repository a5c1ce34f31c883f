using System;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Training.Tests.Fake;

/// <summary>A session that writes something of the test's after a certain launch of a certain micro-step, every time that micro-step runs.</summary>
/// <param name="inner">The session.</param>
/// <param name="program">Its program.</param>
/// <param name="microStep">The micro-steps that are poisoned.</param>
/// <param name="kernel">How the name of the kernel ends.</param>
/// <param name="occurrence">Which of its launches in the micro-step, from 0.</param>
/// <param name="argument">How the name of the argument begins whose first element is overwritten.</param>
/// <param name="value">What is written, as bits.</param>
internal sealed class PoisonedSession(
    Session inner, ModelProgram program, Func<uint, bool> microStep, string kernel, int occurrence, string argument, byte[] value) : SessionDecorator(inner)
{
    private int launches;

    public override void CopyFromHost(ReadOnlySpan<byte> source, nint destination)
    {
        base.CopyFromHost(source, destination);
        launches = destination == Tokens ? 0 : launches;
    }

    public override void Launch(int number, params ReadOnlySpan<nint> args)
    {
        base.Launch(number, args);
        KernelInfo info = program.Kernels[number];
        if (info.Name.EndsWith(kernel, StringComparison.Ordinal) && microStep(this.ReadState().MicroStep) && launches++ == occurrence)
        {
            base.CopyFromHost(value, args[Array.FindIndex(info.Arguments, a => a.StartsWith(argument, StringComparison.Ordinal))]);
        }
    }
}
