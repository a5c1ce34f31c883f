using System.Diagnostics;
using System.Threading;

namespace Fp8Lm.Cpu;

/// <summary>A bounded stretch of busy waiting.</summary>
internal struct SpinPhase(long ticks)
{
    private const int PausesPerLook = 4;
    private const int LooksPerClock = 16;

    private long deadline;
    private int looks;

    /// <summary>Pauses briefly; false when the time is over.</summary>
    public bool Once()
    {
        Thread.SpinWait(PausesPerLook);
        if (++looks % LooksPerClock != 0)
        {
            return true;
        }

        long now = Stopwatch.GetTimestamp();
        if (deadline == 0)
        {
            deadline = now + ticks;
        }

        return now < deadline;
    }
}
