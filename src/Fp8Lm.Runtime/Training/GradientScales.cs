using System;
using System.Numerics;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>Delayed scales of weight gradients in FP8 before the first step.</summary>
internal static class GradientScales
{
    /// <summary>
    /// Makes room for a step's sum where scales were calibrated on one micro-batch: the sum of n is at most n times as large, and early in training, when gradients of
    /// micro-batches agree, nearly is. Histories begin with the first step, so that the room is gone with it. Does nothing where gradients have no delayed scales.
    /// </summary>
    public static void MakeRoom(Session session, int microBatches)
    {
        if (microBatches == 1 || session.Plan.GradientHistory == 0)
        {
            return;
        }

        float factor = BitOperations.RoundUpToPowerOf2((uint)microBatches);    // scales stay powers of two
        Multiply(WorkspacePart.StateScale, 1f / factor);
        Multiply(WorkspacePart.StateScaleInverse, factor);
        session.Clear(session.Workspace(WorkspacePart.GradientHistory), session.Plan.GradientHistory * sizeof(float));

        void Multiply(WorkspacePart part, float by)
        {
            nint address = session.StateSlot(part, ArenaKind.Gradients, 0, 0);
            float[] values = session.Read<float>(address, session.Plan.StateInstances);
            foreach (ref float value in values.AsSpan())
            {
                value *= by;
            }

            session.Write<float>(values, address);
        }
    }
}
