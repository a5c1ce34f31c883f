using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>Another session, and a look at every launch after it has run.</summary>
internal sealed class TracingSession(Session inner, Action<int, nint[]> launched) : SessionDecorator(inner)
{
    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        base.Launch(kernel, args);
        launched(kernel, args.ToArray());
    }
}
