using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Cuda;

/// <summary>
/// Gradients that need no clearing, because the first kernel of a step that touches them is a product over all of their elements, which can as well assign.
/// One step is watched; from the next on only the rest of the arena is cleared, and those products are told to assign. Should a step go another way, what
/// it misses is cleared when it is first touched.
/// </summary>
/// <param name="arena">Address of the gradients.</param>
/// <param name="bytes">Length of the arena.</param>
/// <param name="clear">Queues the clearing of a range.</param>
internal sealed class FirstProducts(nint arena, long bytes, Action<nint, long> clear)
{
    private readonly SortedDictionary<nint, long> assigned = [];    // start and bytes; ranges do not overlap
    private readonly HashSet<nint> waiting = [];                    // of these, what no kernel of the step has touched
    private readonly List<nint> touched = [];                       // while watching
    private State state = State.Unwatched;

    private enum State
    {
        Unwatched,
        Watching,
        Known,
    }

    /// <summary>Whether a range is the whole arena.</summary>
    public bool IsArena(nint address, long length) => address == arena && length == bytes;

    /// <summary>Begins a step: all gradients are zero from here on, as far as anyone can see.</summary>
    public void Clear()
    {
        if (state != State.Known)
        {
            clear(arena, bytes);
            assigned.Clear();
            touched.Clear();
            state = State.Watching;
            return;
        }

        waiting.Clear();
        nint from = arena;
        foreach ((nint start, long length) in assigned)
        {
            ClearBetween(from, start);
            from = start + (nint)length;
            waiting.Add(start);
        }

        ClearBetween(from, arena + (nint)bytes);
    }

    /// <summary>A product is about to add to a range; true: it has to assign.</summary>
    public bool Assigns(nint address, long length)
    {
        if (state == State.Watching && Contains(address) && !touched.Any(t => t >= address && t < address + length) && !Covered(address))
        {
            assigned[address] = length;
        }

        if (waiting.Contains(address) && assigned[address] == length)
        {
            waiting.Remove(address);
            return true;
        }

        Touch(address, length);
        return false;
    }

    /// <summary>Another kernel is about to read or write from an address on, as far as a gradient reaches or further.</summary>
    public void Touch(nint address, long length = 1)
    {
        if (!Contains(address))
        {
            return;
        }

        if (state == State.Watching)
        {
            touched.Add(address);
        }

        foreach (nint start in waiting.Where(start => address + (nint)length > start && address < start + (nint)assigned[start]).ToArray())
        {
            ClearWaiting(start);
        }
    }

    /// <summary>Everything is about to be read, or the host looks.</summary>
    public void Settle()
    {
        foreach (nint start in waiting.ToArray())
        {
            ClearWaiting(start);
        }
    }

    /// <summary>The gradients of a step are complete.</summary>
    public void Finish()
    {
        Settle();
        if (state == State.Watching)
        {
            state = State.Known;
            touched.Clear();
        }
    }

    private bool Contains(nint address) => address >= arena && address < arena + (nint)bytes;

    private bool Covered(nint address) => assigned.Any(range => address >= range.Key && address < range.Key + range.Value);

    private void ClearWaiting(nint start)
    {
        waiting.Remove(start);
        clear(start, assigned[start]);
    }

    private void ClearBetween(nint from, nint to)
    {
        if (to > from)
        {
            clear(from, to - from);
        }
    }
}
