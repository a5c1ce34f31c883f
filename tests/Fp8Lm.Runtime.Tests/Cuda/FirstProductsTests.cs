using System;
using System.Linq;
using Fp8Lm.Cuda;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Which gradients are cleared and which assigned, on an arena of 100 bytes that is an array. Runs everywhere.</summary>
public sealed class FirstProductsTests
{
    private const int Base = 1000, Bytes = 100;
    private readonly byte[] memory = new byte[Bytes];
    private readonly FirstProducts products;
    private int cleared;

    public FirstProductsTests() => products = new FirstProducts(Base, Bytes, (address, bytes) =>
    {
        memory.AsSpan((int)address - Base, (int)bytes).Clear();
        cleared += (int)bytes;
    });

    [Fact]
    public void EveryStepEndsWithTheSameSums()
    {
        byte[] first = Step();
        Assert.Equal(Bytes, cleared);
        for (int i = 0; i < 3; i++)
        {
            cleared = 0;
            Assert.Equal(first, Step());
            Assert.Equal(Bytes - 40 - 20, cleared);
        }
    }

    [Fact]
    public void AStepThatGoesAnotherWayIsRightToo()
    {
        Step();
        products.Clear();
        Other(10, 5);                  // inside what a product used to assign, before it
        Product(70, 20);
        Product(10, 40);
        products.Finish();
        Assert.Equal(Enumerable.Range(0, Bytes).Select(i => (byte)((i is >= 10 and < 50 ? 1 : 0) + (i is >= 10 and < 15 ? 1 : 0) + (i is >= 70 and < 90 ? 1 : 0))), memory);

        // One that never comes leaves zeros, not the sums of the step before.
        products.Clear();
        Product(10, 40);
        products.Finish();
        Assert.Equal(Enumerable.Range(0, Bytes).Select(i => (byte)(i is >= 10 and < 50 ? 1 : 0)), memory);
    }

    [Fact]
    public void TheHostSeesZerosAfterClearing()
    {
        Step();
        products.Clear();
        products.Settle();
        Assert.All(memory, b => Assert.Equal(0, b));
        Product(10, 40);
        Assert.Equal(1, memory[10]);
    }

    [Fact]
    public void AProductOverAPartOfAnotherAdds()
    {
        Step();
        products.Clear();
        Product(20, 10);
        Product(10, 40);
        products.Finish();
        Assert.Equal(Enumerable.Range(0, Bytes).Select(i => (byte)((i is >= 10 and < 50 ? 1 : 0) + (i is >= 20 and < 30 ? 1 : 0))), memory);
    }

    /// <summary>Two products, one of them twice, a sum, and another kernel inside a product's range after it.</summary>
    private byte[] Step()
    {
        products.Clear();
        Product(10, 40);
        Other(60, 10);
        Product(10, 40);
        Product(70, 20);
        Other(75, 5);
        products.Finish();
        return [.. memory];
    }

    private void Product(int at, int bytes)
    {
        bool assigns = products.Assigns(Base + at, bytes);
        for (int i = at; i < at + bytes; i++)
        {
            memory[i] = (byte)((assigns ? 0 : memory[i]) + 1);
        }
    }

    private void Other(int at, int bytes)
    {
        products.Touch(Base + at);
        for (int i = at; i < at + bytes; i++)
        {
            memory[i]++;
        }
    }
}
