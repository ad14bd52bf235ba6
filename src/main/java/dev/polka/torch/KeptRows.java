package dev.polka.torch;

import dev.polka.kernel.Rows;
import dev.polka.kernel.Targets;
import dev.polka.memory.Device;
import dev.polka.memory.Values;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The rows of a call that count, numbered from 0 as if the others were not there. Only these are
 * given to a GEMM. Its tensors belong to the scope in which it is made.
 */
final class KeptRows {
  private final long total;
  private final long count;
  private final Tensor index; // of each row that counts among all rows; null: all count
  private final Tensor targets; // of all rows, or null

  private KeptRows(long total, Tensor keep, Tensor targets) {
    this.total = total;
    Tensor found = keep == null ? null : keep.nonzero().view(-1);
    this.count = found == null ? total : found.size(0);
    this.index = count == total ? null : found;
    this.targets = targets;
  }

  /**
   * Rows with a target and a mask byte that is not 0.
   *
   * @throws IndexOutOfBoundsException if a target of a row that counts is outside the vocabulary
   */
  static KeptRows of(Targets targets, long rows, Device device, long vocabulary) {
    require("targets", targets.ids(), rows, device);
    Tensor ids = TensorView.of(targets.ids());
    Tensor keep = ids.ne(new Scalar(targets.ignoreIndex()));
    if (targets.mask() != null) {
      require("mask", targets.mask(), rows, device);
      keep = keep.logical_and(TensorView.of(targets.mask()));
    }
    Tensor inside = ids.ge(new Scalar(0L)).logical_and(ids.lt(new Scalar(vocabulary)));
    Tensor bad = keep.logical_and(inside.logical_not()).nonzero();
    if (bad.size(0) > 0) {
      long row = bad.get(0).get(0).item_long();
      throw new IndexOutOfBoundsException(
          String.format(
              "targets: target %d of row %d is outside the vocabulary [0, %d)",
              ids.get(row).item_long(), row, vocabulary));
    }
    return new KeptRows(rows, keep, ids);
  }

  /** Rows whose mask byte is not 0. */
  static KeptRows of(Rows rows, long total, Device device) {
    require("weight", rows.weight(), total, device);
    if (rows.mask() == null) {
      return new KeptRows(total, null, null);
    }
    require("mask", rows.mask(), total, device);
    return new KeptRows(total, TensorView.of(rows.mask()), null);
  }

  /** Checks a value per row that may be absent. */
  static void require(String name, Values values, long rows, Device device) {
    if (values == null) {
      return;
    }
    if (values.size() != rows) {
      throw new IllegalArgumentException(
          name + ": has " + values.size() + " elements, " + rows + " (one per row) are needed");
    }
    if (!values.device().equals(device)) {
      throw new IllegalArgumentException(
          name + ": lies on " + values.device() + ", the hidden states on " + device);
    }
  }

  long count() {
    return count;
  }

  boolean all() {
    return index == null;
  }

  /** The targets of rows that count. */
  Targets targets(long from, long to) {
    Tensor part = take(targets, 0, from, to);
    return Targets.of(Torch.longs(part.to(torch.ScalarType.Long)));
  }

  /** Rows that count, out of all rows along a dimension: a view where possible, else a copy. */
  Tensor take(Tensor allRows, long dim, long from, long to) {
    return index == null
        ? allRows.narrow(dim, from, to - from)
        : allRows.index_select(dim, index.narrow(0, from, to - from));
  }

  /** Writes rows that count to their places among all rows. */
  void put(Tensor allRows, long dim, long from, long to, Tensor part) {
    if (index == null) {
      allRows.narrow(dim, from, to - from).copy_(part);
    } else {
      allRows.index_copy_(dim, index.narrow(0, from, to - from), part);
    }
  }

  /** The indices of rows that count; only where not all do. */
  Tensor index(long from, long to) {
    return index.narrow(0, from, to - from);
  }

  long total() {
    return total;
  }
}
