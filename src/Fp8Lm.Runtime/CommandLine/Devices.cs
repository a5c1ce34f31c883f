using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.CommandLine;

/// <summary>Creates sessions on the device the user named.</summary>
internal static class Devices
{
    /// <summary>Checks the name and resolves <c>auto</c>.</summary>
    /// <exception cref="UsageException">The device is unknown or not there.</exception>
    public static string Resolve(string device)
    {
        string name = AppOptions.Choice("--device", device, ("cpu", "cpu"), ("cuda", "cuda"), ("auto", "auto"));
        return name == "cuda" ? throw new UsageException("--device cuda: this build has no CUDA back end.") : "cpu";
    }

    /// <summary>Creates a session; its owner also disposes of the pool.</summary>
    public static Session Create(string device, MemoryPlan plan, CpuPool pool) => new CpuSession(plan, pool);
}
