package dev.polka.kernel.internal;

import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/** Tells JavaCPP how {@code polka.h} becomes {@code gen.PolkaNative}. */
@Properties(
    value =
        @Platform(
            include = "polka.h",
            link = "polka",
            preload = "gomp@.1",
            preloadpath = "/usr/lib/x86_64-linux-gnu/",
            library = "jnipolka"),
    target = "dev.polka.kernel.internal.gen",
    global = "dev.polka.kernel.internal.gen.PolkaNative")
public class PolkaPreset implements InfoMapper {
  @Override
  public void map(InfoMap infoMap) {
    infoMap.put(new Info("POLKA_H").skip());
  }
}
