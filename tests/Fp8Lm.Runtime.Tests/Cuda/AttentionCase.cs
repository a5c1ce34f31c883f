using System;
using System.Globalization;
using Fp8Lm.Execution;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>One attention problem.</summary>
public sealed record AttentionCase(ElementFormat Format, int HeadSize, int Heads, int KvHeads, int Batch, int Sequence, int Window)
{
    /// <summary>Scale of the logits, exact in FP32 and in text.</summary>
    public float Scale => 1f / (float)Math.Sqrt(HeadSize);

    /// <summary>The same as a literal.</summary>
    public string ScaleText => Scale.ToString("R", CultureInfo.InvariantCulture) + "f";

    /// <summary>Whether the forward test uses the epilogue with column sums.</summary>
    public bool Sums => Sequence % 16 == 0;

    /// <summary>Token rows.</summary>
    public int Tokens => Batch * Sequence;
}
