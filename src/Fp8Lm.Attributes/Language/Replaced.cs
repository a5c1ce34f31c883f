using System;

namespace Fp8Lm;

/// <summary>The language of the forward pass is read by the generator; its members have no behaviour of their own.</summary>
internal static class Replaced
{
    public static InvalidOperationException ByGenerator() => new(
        "This member describes a model to the Fp8Lm source generator, which compiles the forward pass and replaces the call; it cannot be executed. "
        + "Train or run the model through its generated Definition.");
}
