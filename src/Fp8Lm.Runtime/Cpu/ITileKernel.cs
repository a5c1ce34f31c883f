namespace Fp8Lm.Cpu;

/// <summary>Work that falls into independent tiles. Implemented by structs, so that <see cref="CpuPool.Run"/> is compiled for each of them.</summary>
public interface ITileKernel
{
    /// <summary>
    /// Does one tile. Tiles run in any order on any worker and may share no state but memory they do not both write; what a tile
    /// leaves in memory must not depend on <paramref name="worker"/>, which only names the scratch it may use.
    /// </summary>
    void Run(int tile, int worker);
}
