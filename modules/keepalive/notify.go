package keepalive

func (a *App) notify(name string, data map[string]any) {}
