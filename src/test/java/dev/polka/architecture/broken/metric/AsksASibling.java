package dev.polka.architecture.broken.metric;

import dev.polka.architecture.broken.torch.Adapter;

final class AsksASibling {
  Adapter adapter;
}
