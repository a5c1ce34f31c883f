using System;
using System.Runtime.CompilerServices;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>A stretch of work whose casts are counted, from zero; nothing else is counted, whatever fails inside.</summary>
internal readonly struct CastCounting : IDisposable
{
    private readonly Session? session;

    private CastCounting(Session session) => this.session = session;

    /// <summary>Begins to count, if <paramref name="counts"/> says so.</summary>
    public static CastCounting Begin(Session session, bool counts)
    {
        if (!counts)
        {
            return default;
        }

        session.CountsCasts = true;
        session.Clear(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots * Unsafe.SizeOf<CastStatistics>());
        return new CastCounting(session);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (session is not null)
        {
            session.CountsCasts = false;
        }
    }
}
