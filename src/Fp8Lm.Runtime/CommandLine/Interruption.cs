using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Fp8Lm.CommandLine;

/// <summary>Ctrl-C and SIGTERM ask training to end after the step; a second one ends the process at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource source = new();
    private readonly PosixSignalRegistration interrupt;
    private readonly PosixSignalRegistration terminate;

    public Interruption()
    {
        interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => source.Token;

    public void Dispose()
    {
        interrupt.Dispose();
        terminate.Dispose();
        source.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        // Without Cancel the default action follows, which ends the process.
        context.Cancel = !source.IsCancellationRequested;
        source.Cancel();
    }
}
