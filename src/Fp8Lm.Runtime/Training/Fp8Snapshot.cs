using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>Scales, amax and histories of a session, to undo what a forward pass outside training leaves there.</summary>
internal sealed class Fp8Snapshot
{
    private readonly Session session;
    private readonly (nint Address, uint[] Words)[] parts;

    public Fp8Snapshot(Session session, ModelProgram program)
    {
        this.session = session;
        parts =
        [
            Part(session.ScaleArena, session.ScaleSlots),
            Part(session.ScaleInverseArena, session.ScaleSlots),
            Part(session.AmaxArena, session.ScaleSlots),
            Part(session.AmaxHistoryArena, session.HistoryElements(program)),
        ];
    }

    /// <summary>Writes everything back.</summary>
    public void Restore()
    {
        foreach ((nint address, uint[] words) in parts)
        {
            session.Write<uint>(words, address);
        }
    }

    private (nint, uint[]) Part(nint address, long count) => (address, session.Read<uint>(address, count));
}
