package dev.polka.train.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.CategorySeries;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Draws the plots of a report as PNG files, without a display. */
final class Plots {
  static {
    System.setProperty("java.awt.headless", "true");
  }

  private static final int WIDTH = 860;
  private static final int HEIGHT = 400;
  private static final int DOTS_PER_INCH = 144;
  // Okabe and Ito's colours, which the colour-blind can tell apart.
  private static final Color[] COLOURS = {
    new Color(0x0072B2),
    new Color(0xD55E00),
    new Color(0x009E73),
    new Color(0xCC79A7),
    new Color(0xE69F00),
    new Color(0x56B4E9),
    new Color(0x444444)
  };
  private static final Color GRID = new Color(0xE4E4E4);

  private Plots() {}

  /** Bars of the arms' means, a dot per seed, and standard errors where there are any. */
  static void scores(ArmTable table, Path file) throws IOException {
    CategoryChart chart =
        new CategoryChartBuilder()
            .width(WIDTH)
            .height(HEIGHT + 40)
            .yAxisTitle("score on held-out problems")
            .build();
    List<String> arms = table.rows().stream().map(row -> row.arm().name()).toList();
    List<Double> means = table.rows().stream().map(row -> row.scores().mean()).toList();
    boolean errors = table.rows().get(0).scores().standardError().isPresent();
    if (errors) {
      List<Double> bars =
          table.rows().stream().map(row -> row.scores().standardError().getAsDouble()).toList();
      chart.addSeries("mean \u00B1 standard error", arms, means, bars);
    } else {
      chart.addSeries("mean", arms, means);
    }
    for (int i = 0; i < table.seeds().size(); i++) {
      int seed = i;
      CategorySeries dots =
          chart.addSeries(
              "seed " + table.seeds().get(i),
              arms,
              table.rows().stream().map(row -> row.scores().values().get(seed)).toList());
      dots.setChartCategorySeriesRenderStyle(CategorySeries.CategorySeriesRenderStyle.Scatter);
      dots.setMarker(SeriesMarkers.CIRCLE);
      dots.setMarkerColor(new Color(0, 0, 0, 150));
      dots.setShowInLegend(i == 0);
      if (i == 0) {
        dots.setLabel("each seed");
      }
    }
    style(chart.getStyler());
    chart.getStyler().setSeriesColors(new Color[] {new Color(0x7FB2D6)});
    chart.getStyler().setAvailableSpaceFill(0.55).setOverlapped(true);
    chart.getStyler().setMarkerSize(7);
    chart.getStyler().setXAxisLabelRotation(arms.size() > 4 ? 20 : 0);
    chart.getStyler().setYAxisMin(0.0).setYAxisMax(1.0);
    chart.getStyler().setErrorBarsColor(Color.DARK_GRAY);
    save(chart, file);
  }

  /** One line per stage. */
  static void curves(Curves curves, String label, boolean share, Path file) throws IOException {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .xAxisTitle("step of the stage")
            .yAxisTitle(label)
            .build();
    int colour = 0;
    for (var entry : curves.byStage().entrySet()) {
      var series =
          chart.addSeries(entry.getKey(), entry.getValue().steps(), entry.getValue().values());
      series.setMarker(SeriesMarkers.NONE);
      series.setLineWidth(2.2f);
      series.setLineColor(COLOURS[colour % COLOURS.length]);
      float[] dashes = {8, 5};
      series.setLineStyle(
          colour < COLOURS.length
              ? new BasicStroke(2.2f)
              : new BasicStroke(2.2f, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, dashes, 0));
      colour++;
    }
    style(chart.getStyler());
    chart.getStyler().setXAxisTickMarkSpacingHint(90).setXAxisMin(0.0).setYAxisMin(0.0);
    if (share) {
      chart.getStyler().setYAxisMax(1.0);
    }
    save(chart, file);
  }

  private static void style(AxesChartStyler styler) {
    styler.setChartBackgroundColor(Color.WHITE);
    styler.setPlotBackgroundColor(Color.WHITE);
    styler.setPlotBorderVisible(false);
    styler.setPlotGridLinesColor(GRID);
    styler.setPlotGridVerticalLinesVisible(false);
    styler.setAxisTicksLineVisible(false);
    styler.setAxisTickLabelsFont(new Font(Font.SANS_SERIF, Font.PLAIN, 12));
    styler.setAxisTitleFont(new Font(Font.SANS_SERIF, Font.PLAIN, 13));
    styler.setLegendFont(new Font(Font.SANS_SERIF, Font.PLAIN, 12));
    styler.setLegendPosition(LegendPosition.OutsideE);
    styler.setLegendBorderColor(Color.WHITE);
    styler.setChartTitleVisible(false);
    styler.setChartPadding(12);
  }

  private static void save(Chart<?, ?> chart, Path file) throws IOException {
    BitmapEncoder.saveBitmapWithDPI(
        chart, file.toString(), BitmapEncoder.BitmapFormat.PNG, DOTS_PER_INCH);
  }
}
